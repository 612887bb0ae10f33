"""Tasks that a client makes of what its server asks (MCP 2025-11-25): followed by that server, in that session alone.

No SDK speaks this, so server and client are bare HTTP.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.core.audit.record import DecisionRecord
from gateway.core.reasons import Reason
from tests.company import Company
from tests.gateways import asgi, running
from tests.wire.mcp_calls import Message, Wire, answer_of, bare, headers_of, legacy, open_session, post, refusal_of

SAMPLING = '@id("sampling") permit (principal == McpServer::"ledger", action == Action::"sample", resource is Agent);'
QUESTION = {"messages": [], "maxTokens": 1, "task": {"ttl": 60_000}}
STATE = {
    "taskId": "c-1", "status": "completed", "createdAt": "2026-11-24T00:00:00Z",
    "lastUpdatedAt": "2026-11-24T00:00:00Z", "ttl": None,
}  # fmt: skip
RELATED = {"_meta": {"io.modelcontextprotocol/related-task": {"taskId": "c-1"}}}


@dataclass
class Asking:
    """A server that has its client sample as a task during a call, and asks for that task and for another."""

    answers: list[Message] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)
    heard: "asyncio.Queue[Message]" = field(default_factory=asyncio.Queue)

    @property
    def application(self) -> Starlette:
        return Starlette(routes=[Route("/mcp", self.take, methods=["POST"])])

    async def take(self, request: Request) -> Response:
        message = await request.json()
        if message.get("method") == "initialize":
            info = {"name": "asking", "version": "1"}
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            return JSONResponse(answer, headers={"Mcp-Session-Id": "s-1"})
        if message.get("method") == "tools/call":
            return StreamingResponse(self.call(message["id"]), media_type="text/event-stream")
        if "method" in message:
            self.told.append(message)
        else:
            self.heard.put_nowait(message)
        return Response(status_code=202)

    async def call(self, request_id: Any) -> AsyncIterator[str]:
        asking = [
            ("sampling/createMessage", QUESTION),
            ("tasks/get", {"taskId": "c-1"}),
            ("tasks/result", {"taskId": "c-1"}),
            ("tasks/get", {"taskId": "another"}),
            ("tasks/list", {}),
        ]
        for number, (method, params) in enumerate(asking):
            yield event({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            async with asyncio.timeout(10):
                self.answers.append(await self.heard.get())
        yield event({"jsonrpc": "2.0", "id": request_id, "result": {"content": []}})


def event(message: Message) -> str:
    return f"data: {json.dumps(message)}\n\n"


class Confused(Asking):
    """A server that talks to one client of another's task, and in the end answers with it."""

    async def call(self, request_id: Any) -> AsyncIterator[str]:
        theirs = {"_meta": {"io.modelcontextprotocol/related-task": {"taskId": "theirs"}}}
        state = {**STATE, "taskId": "theirs"}
        yield event({"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": state})
        yield event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "secret", **theirs}})
        yield event({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {**QUESTION, **theirs}})
        async with asyncio.timeout(10):
            self.answers.append(await self.heard.get())
        yield event({"jsonrpc": "2.0", "id": request_id, "result": {"content": [], **theirs}})


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    found.policies["platform/sampling.cedar"] = SAMPLING
    return found


async def answering(wire: Wire, session: dict[str, str | None], answers: dict[str, Message]) -> list[str]:
    """Call, and answer what comes through as told; the methods that came through."""
    message, seen = legacy("tools/call", {"name": "read_balance", "arguments": {}}), []
    headers = {name: str(value) for name, value in {**headers_of(message), **session}.items()}
    async with wire.http.stream("POST", wire.url, json=message, headers=headers) as stream:
        async for line in stream.aiter_lines():
            value = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if "method" in value:
                seen.append(value["method"])
                answer = {"jsonrpc": "2.0", "id": value["id"], "result": answers[value["method"]]}
                assert (await post(wire, answer, session)).status_code == 202
    return seen


async def test_a_server_follows_the_task_that_its_client_made(company: Company) -> None:
    upstream = Asking()
    answers: dict[str, Message] = {
        "sampling/createMessage": {"task": {**STATE, "status": "working"}},
        "tasks/get": STATE,
        "tasks/result": {"role": "assistant", "content": {"type": "text", "text": "yes"}, "model": "m", **RELATED},
    }
    async with (
        asgi(upstream.application, company, "server/ledger", company.upstreams["ledger"]),
        running(company),
        bare(company) as wire,
    ):
        session = await open_session(wire)
        seen = await answering(wire, session, answers)
        status = legacy("notifications/tasks/status", STATE, request_id=None)
        taken = await post(wire, status, session)
        strange = legacy("notifications/tasks/status", {**STATE, "taskId": "another"}, request_id=None)
        refused = await post(wire, strange, session)
    assert seen == ["sampling/createMessage", "tasks/get", "tasks/result"]
    assert [answer.get("result") for answer in upstream.answers[:3]] == list(answers.values())
    assert [answer["error"]["code"] for answer in upstream.answers[3:]] == [-32601, -32601]
    assert (taken.status_code, refusal_of(refused)) == (202, (400, -32602, Reason.TASK_UNKNOWN))
    assert [message["params"]["taskId"] for message in upstream.told if "tasks" in message["method"]] == ["c-1"]
    records = [found.record for found in company.records()]
    asked = [record for record in records if isinstance(record, DecisionRecord) and record.asking is not None]
    assert [(record.method, record.action) for record in asked] == [
        ("sampling/createMessage", "sample"), ("tasks/get", "sample"), ("tasks/result", "sample"),
    ]  # fmt: skip


async def test_a_response_speaks_of_no_task_but_its_own(company: Company) -> None:
    upstream = Asking()
    async with (
        asgi(upstream.application, company, "server/ledger", company.upstreams["ledger"]),
        running(company),
        bare(company) as wire,
    ):
        session = await open_session(wire)
        with pytest.raises(AssertionError):
            await answering(wire, session, {"sampling/createMessage": RELATED})
    assert upstream.answers == []


async def test_what_a_server_says_of_anothers_task_stays_behind(company: Company) -> None:
    upstream = Confused()
    async with (
        asgi(upstream.application, company, "server/ledger", company.upstreams["ledger"]),
        running(company),
        bare(company) as wire,
    ):
        session = await open_session(wire)
        reply = await post(wire, legacy("tools/call", {"name": "read_balance", "arguments": {}}), session)
    assert [answer["error"]["code"] for answer in upstream.answers] == [-32601]
    assert "theirs" not in reply.text
    assert "secret" not in reply.text
    assert answer_of(reply)["error"]["data"]["reason"] == Reason.UPSTREAM_MALFORMED
