"""The official npm ``server-everything`` behind the gateway: a server that knows nothing of Hopgate, TLS or tokens.

It answers in the session era with progress; what isn't registered is neither listed nor called.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from mcp import MCPError

from gateway.store.query import AuditReader, Filters
from tests.company import SCOPES, Company
from tests.gateways import mcp_client, running
from tests.peers.everything import everything
from tests.wire.mcp_calls import Wire as BareWire
from tests.wire.mcp_calls import answer_of, headers_of, legacy, post
from tests.wire.mcp_calls import bare as mcp_bare

REGISTERED = {
    "echo": "finance-readonly",
    "trigger-long-running-operation": "finance-readonly",
    "get-sum": "other",
    "simulate-research-query": "finance-readonly",
}
LONG = "trigger-long-running-operation"
RESEARCH = "simulate-research-query"
ELICITING: Mapping[str, Any] = {
    "protocolVersion": "2025-11-25", "capabilities": {"elicitation": {"form": {}}, "tasks": {}},
    "clientInfo": {"name": "bare", "version": "1"},
}  # fmt: skip
ASKING = """
@id("asking") permit (principal == McpServer::"everything", action == Action::"elicit", resource is Agent);
"""


@dataclass
class Wire:
    """The bytes that reached the server."""

    url: str
    heard: bytearray

    def messages(self, method: str) -> list[dict[str, object]]:
        """The JSON-RPC messages of ``method`` among them."""
        lines = bytes(self.heard).replace(b"POST ", b"\r\n").split(b"\r\n")
        found = [json.JSONDecoder().raw_decode(line.decode())[0] for line in lines if line.startswith(b"{")]
        return [message for message in found if message.get("method") == method]


@asynccontextmanager
async def tapped() -> AsyncIterator[Wire]:
    """The server behind a pipe that keeps what is sent to it."""
    async with everything() as direct:
        plain, heard = urlsplit(direct), bytearray()

        async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    if kept is not None:
                        kept += data
                    writer.write(data)
                    await writer.drain()
            writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            onward = await asyncio.open_connection(plain.hostname, plain.port)
            async with asyncio.TaskGroup() as both:
                both.create_task(pipe(reader, onward[1], heard))
                both.create_task(pipe(onward[0], writer, None))

        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            yield Wire(f"http://127.0.0.1:{port}{plain.path}", heard)


@asynccontextmanager
async def standing(company: Company) -> AsyncIterator[Wire]:
    async with tapped() as wire:
        company.registry["servers"]["everything"] = {
            "team": "finance",
            "environment": "production",
            "upstream": {"url": wire.url},
            "tools": {name: {"risk_level": "low", "sets": [kind]} for name, kind in REGISTERED.items()},
        }
        scopes = [*SCOPES, *(f"everything/{name}" for name in REGISTERED)]
        company.settings["issuers"][0]["scope_map"] = {"all": scopes}
        company.registry["agents"]["planner"]["scopes"] = scopes
        async with running(company):
            yield wire


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_client_opens_lists_and_calls(company: Company, mode: str) -> None:
    async with standing(company), mcp_client(company, server="everything", mode=mode) as client:
        listed = await client.list_tools()
        echoed = await client.call_tool("echo", {"message": "hola"})
    assert {tool.name for tool in listed.tools} == {"echo", LONG, RESEARCH}
    assert [block.text for block in echoed.content] == ["Echo: hola"]


async def test_progress_comes_through_while_the_tool_works(company: Company) -> None:
    seen: list[tuple[float, float | None]] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with standing(company), mcp_client(company, server="everything", mode="legacy") as client:
        await client.call_tool(LONG, {"duration": 0.3, "steps": 3}, progress_callback=progressed)
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("tool", "reason"), [("get-sum", "no_permit"), ("get-env", "tool_unknown")])
async def test_what_no_policy_permits_or_nobody_registered_never_reaches_it(
    company: Company, tool: str, reason: str
) -> None:
    async with standing(company) as wire, mcp_client(company, server="everything", mode="legacy") as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool(tool, {"a": 1, "b": 2})
    assert refused.value.error.data["reason"] == reason
    assert wire.messages("initialize")
    assert wire.messages("tools/call") == []


async def test_a_cancelled_call_is_cancelled_at_the_server(company: Company) -> None:
    begun = asyncio.Event()

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    async with standing(company) as wire, mcp_client(company, server="everything", mode="legacy") as client:
        arguments = {"duration": 60, "steps": 600}
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(client.call_tool(LONG, arguments, progress_callback=progressed))
            await begun.wait()
            call.cancel()
        assert (await client.call_tool("echo", {"message": "free again"})).content
    (called, _) = wire.messages("tools/call")
    (cancelled,) = wire.messages("notifications/cancelled")
    params = cancelled["params"]
    assert isinstance(params, dict)
    assert params["requestId"] == called["id"]
    page = AuditReader(f"sqlite:///{company.directory}/hopgate.db").query(Filters(action="notify"))
    [found] = [found for found in page.found if found.record.method == "notifications/cancelled"]
    assert (found.record.reason, found.outcome and found.outcome.status) == ("permitted", 202)


async def test_a_task_of_a_session_asks_its_owner_and_ends(company: Company) -> None:
    company.policies["platform/asking.cedar"] = ASKING
    call = {"name": RESEARCH, "arguments": {"topic": "python", "ambiguous": True}, "task": {"ttl": 60_000}}
    async with standing(company), mcp_bare(company, server="everything") as http:
        opened = await post(http, legacy("initialize", ELICITING))
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
        await post(http, legacy("notifications/initialized", request_id=None), session)
        task = answer_of(await post(http, legacy("tools/call", call), session))["result"]["task"]["taskId"]
        state = answer_of(await post(http, legacy("tasks/get", {"taskId": task}), session))["result"]
        listed = answer_of(await post(http, legacy("tasks/list"), session))["result"]["tasks"]
        result = await _result_of(http, task, session)
        cancelled = answer_of(await post(http, legacy("tasks/cancel", {"taskId": task}), session))["error"]
    assert (state["taskId"], state["status"]) == (task, "working")
    assert [each["taskId"] for each in listed] == [task]
    assert "programming" in result["content"][0]["text"]
    assert result["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": task}
    assert cancelled["code"] == -32602
    asked = [found.record for found in company.records() if found.record.action == "elicit"]
    assert [record.reason for record in asked] == ["permitted"]


async def _result_of(http: BareWire, task: str, session: Mapping[str, str | None]) -> dict[str, Any]:
    """The task's result, once the question that it waits for is answered."""
    message = legacy("tasks/result", {"taskId": task}, request_id=9)
    headers = {name: str(value) for name, value in {**headers_of(message), **session}.items()}
    async with http.http.stream("POST", http.url, json=message, headers=headers) as stream:
        async for line in stream.aiter_lines():
            value = json.loads(line.removeprefix("data:")) if line.startswith("data: {") else {}
            if value.get("method") == "elicitation/create":
                assert value["params"]["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": task}
                content = {"action": "accept", "content": {"interpretation": "programming"}}
                answered = {"jsonrpc": "2.0", "id": value["id"], "result": content}
                assert (await post(http, answered, session)).status_code == 202
            if value.get("id") == 9:
                return dict(value["result"])
    raise AssertionError("the stream ended without a result")


async def test_the_users_token_stays_at_the_gateway(company: Company) -> None:
    token = company.token(f"{company.data_url}/mcp/everything")
    async with (
        standing(company) as wire,
        mcp_client(company, server="everything", mode="legacy", token=token) as client,
    ):
        await client.call_tool("echo", {"message": "hola"})
    assert token.encode() not in wire.heard
    assert b"authorization: bearer ey" in bytes(wire.heard).lower()
