"""The official client and server with nothing between them but the adapters: neither notices."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import EmptyResult, ListTasksRequest
from pydantic import Field

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Call, Route
from gateway.core.reasons import Reason
from gateway.core.registry import Tool
from gateway.protocols.base import End, Incoming, Listing, Pass, Refusal, Reply, refusal_of
from gateway.protocols.jsonrpc import dump_json, parse_answer
from gateway.protocols.mcp import CARRIED, classify, encode, era_of_headers, filter_listing, parse, refuse
from gateway.protocols.sse import Event, SseParser, encode_message

ROUTE = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
LIMITS = Limits()
URL = "http://127.0.0.1:8000/mcp"
REGION = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}


def upstream_server() -> MCPServer:
    server = MCPServer("ledger", instructions="read only")

    @server.tool()
    async def read_balance(account: str, ctx: Context) -> int:
        await ctx.report_progress(1, 2, "half")
        return len(account)

    @server.tool()
    def fail() -> int:
        raise ValueError("no such account")

    @server.tool()
    def place(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
        return region

    @server.tool()
    def secret() -> str:
        return "hidden by policy"

    @server.prompt()
    def greet() -> str:
        return "hello"

    return server


class Adapters(httpx2.AsyncBaseTransport):
    """Every request through parse and encode, every answer through classify; ``secret`` is denied."""

    def __init__(self, upstream: httpx2.AsyncClient) -> None:
        self._upstream = upstream
        self._tools = {
            "place": Tool(
                server="ledger", name="place", risk_level="low", environment="test", scopes=(), input_schema=REGION
            )
        }
        self.eras: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        incoming = Incoming(request.method, "", headers, {}, await request.aread())
        try:
            call = parse(incoming, ROUTE, LIMITS, self._tools)
        except ProtocolError as error:
            return response(refuse(error.request_id, era_of_headers(headers), refusal_of(error)))
        self.eras.append(call.version)
        reason = self._denied(call)
        if reason is not None:
            return response(refuse(call.request_id, era_of_headers(headers), Refusal(reason=reason, decision_id="d1")))
        return await self._forward(call)

    def _denied(self, call: Call) -> Reason | None:
        if call.method not in CARRIED:
            return Reason.NOT_SUPPORTED_YET
        return Reason.NO_PERMIT if call.target == "secret" else None

    async def _forward(self, call: Call) -> httpx2.Response:
        tool = self._tools.get(call.target)
        schema = None if tool is None else tool.input_schema
        out = encode(call, session=call.session, trace={}, schema=schema)
        answer = await self._upstream.request(out.http_method, URL, headers=list(out.headers), content=out.body)
        kept = {"mcp-session-id": answer.headers["mcp-session-id"]} if "mcp-session-id" in answer.headers else {}
        if answer.status_code == 202:
            return httpx2.Response(202, headers=kept)
        if answer.headers["content-type"].startswith("text/event-stream"):
            events = [frame for frame in SseParser(LIMITS.event_bytes).feed(answer.content) if isinstance(frame, Event)]
            values = [parse_answer(event.data.encode(), LIMITS) for event in events if event.data]
            body = b"".join(encode_message(self._answer(call, value)) for value in values)
            return httpx2.Response(200, headers={**kept, "content-type": "text/event-stream"}, content=body)
        body = dump_json(self._answer(call, parse_answer(answer.content, LIMITS)))
        return httpx2.Response(answer.status_code, headers={**kept, "content-type": "application/json"}, content=body)

    def _answer(self, call: Call, value: Any) -> Any:
        match classify(call, value):
            case Pass(passed):
                return passed
            case Listing(listed, items, _):
                return filter_listing(call, listed, set(items) - {"secret"})[0]
            case End(ended):
                return ended
        raise AssertionError(value)


def response(reply: Reply) -> httpx2.Response:
    return httpx2.Response(reply.status, headers=list(reply.headers), content=reply.body)


@asynccontextmanager
async def connected(mode: str, **app: Any) -> AsyncIterator[tuple[Client, Adapters]]:
    starlette = upstream_server().streamable_http_app(**app)
    async with (
        starlette.router.lifespan_context(starlette),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(starlette)) as upstream,
    ):
        adapters = Adapters(upstream)
        async with (
            httpx2.AsyncClient(transport=adapters) as http,
            Client(streamable_http_client(URL, http_client=http), mode=mode) as client,
        ):
            yield client, adapters


APPS: list[Mapping[str, bool]] = [{}, {"json_response": True}, {"stateless_http": True}]


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize(
    ("mode", "version"), [("legacy", "2025-11-25"), ("auto", "2026-07-28"), ("2026-07-28", "2026-07-28")]
)
async def test_list_and_call(mode: str, version: str, app: Mapping[str, bool]) -> None:
    seen: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append(done)

    async with connected(mode, **app) as (client, adapters):
        listed = await client.list_tools()
        assert [tool.name for tool in listed.tools] == ["read_balance", "fail", "place"]
        result = await client.call_tool("read_balance", {"account": "12345"}, progress_callback=progress)
        assert result.structured_content == {"result": 5}
        failed = await client.call_tool("fail", {})
        assert failed.is_error
        placed = await client.call_tool("place", {"region": "Zürich "})
        assert placed.structured_content == {"result": "Zürich "}
        assert set(adapters.eras) == {version}
    assert seen == ([] if "json_response" in app else [1])


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_denial_reaches_the_caller_with_its_reason(mode: str) -> None:
    async with connected(mode) as (client, _):
        with pytest.raises(MCPError) as caught:
            await client.call_tool("secret", {})
        assert caught.value.error.code == 1403
        assert caught.value.error.data["reason"] == "no_permit"
        assert caught.value.error.data["decision_id"] == "d1"
        assert (await client.call_tool("read_balance", {"account": "1"})).structured_content == {"result": 1}


async def test_tasks_are_offered_where_the_server_has_them() -> None:
    async with connected("legacy") as (client, _):
        assert client.server_capabilities.tools is not None
        assert client.server_capabilities.tasks is None
        with pytest.raises(MCPError) as caught:
            await client.session.send_request(ListTasksRequest(), EmptyResult)
        assert caught.value.error.code == -32601
