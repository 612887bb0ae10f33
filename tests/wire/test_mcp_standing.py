"""The standing stream of a session: what the server says of itself reaches the client as on any other stream."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.context import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult

from gateway.core.audit.record import DecisionRecord
from gateway.core.model import Uid
from gateway.core.reasons import Reason
from gateway.store.query import Found
from tests.company import Company
from tests.gateways import Script, asgi, mcp_client, running, scripted
from tests.wire.mcp_calls import INITIALIZE, answer_of, bare, legacy, open_session, post, refusal_of, through_gateway
from tests.wire.remembering import ASKING, READABLE, Remembering, admit
from tests.wire.streams import standing

ANNOUNCE = legacy("tools/call", {"name": "announce", "arguments": {}})
ASIDE = legacy("tools/call", {"name": "aside", "arguments": {}})
HEAD = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: %s\r\n%s\r\n"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    admit(found)
    return found


def opened(company: Company) -> list[Found]:
    """What was recorded of standing streams."""
    return [found for found in company.records() if getattr(found.record, "method", "") == "GET"]


@pytest.mark.parametrize("resumable", [True, False])
async def test_changes_are_heard_by_those_who_may_read_them(company: Company, resumable: bool) -> None:
    upstream = Remembering()
    if not resumable:
        upstream.event_store = None
    async with through_gateway(company, upstream), bare(company) as wire, asyncio.timeout(10):
        session = await open_session(wire)
        async with standing(wire, session) as stream:
            assert (await post(wire, ANNOUNCE, session)).status_code == 200
            first, second = await stream.message(), await stream.message()
        await upstream.unheard.wait()
        # Records keep their order: once this one is written, the end of the stream is.
        await post(wire, legacy("ping"), session)
    assert (stream.response.status_code, stream.response.headers["content-type"]) == (200, "text/event-stream")
    assert stream.response.headers["x-accel-buffering"] == "no"
    assert first["method"] == "notifications/resources/updated"
    assert first["params"] == {"uri": READABLE}
    assert second["method"] == "notifications/tools/list_changed"
    [sent] = [headers for headers in upstream.headers if headers.get("accept") == "text/event-stream"]
    assert sent["mcp-session-id"] in upstream.sessions
    assert sent["authorization"].startswith("Bearer ")
    [found] = opened(company)
    assert isinstance(found.record, DecisionRecord)
    assert (found.record.action, found.record.resource) == ("discover", Uid("McpServer", "ledger"))
    assert found.outcome is not None
    assert (found.outcome.reason, found.outcome.events) == (Reason.CLIENT_CLOSED, 3)


async def elicit(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"sure": True})


@pytest.mark.parametrize(("policy", "answer"), [(ASKING, "answered: "), ("", "refused: 1403")])
async def test_the_official_client_is_asked_where_policy_lets_the_server(
    company: Company, policy: str, answer: str
) -> None:
    company.policies["platform/asking.cedar"] = policy
    heard: asyncio.Queue[Any] = asyncio.Queue()
    ledger = Remembering()

    async def told(message: Any) -> None:
        heard.put_nowait(message)

    async with (
        asyncio.timeout(15),
        through_gateway(company, ledger),
        mcp_client(company, mode="legacy", elicitation_callback=elicit, message_handler=told) as client,
    ):
        # The client opens its standing stream by itself, some time after it has begun.
        await ledger.listened.wait()
        result = await client.call_tool("aside", {})
        await client.call_tool("announce", {})
        assert (await heard.get()).method == "notifications/resources/updated"
    assert result.structured_content == {"result": "went on alone"}
    assert ledger.asked["aside"].startswith(answer)
    records = [found.record for found in company.records() if isinstance(found.record, DecisionRecord)]
    [asked] = [record for record in records if record.asking is not None]
    assert (asked.asking, asked.action, asked.resource) == ("ledger", "elicit", Uid("Agent", "planner"))


async def test_the_servers_request_has_an_id_of_the_gateways(company: Company) -> None:
    company.policies["platform/asking.cedar"] = ASKING
    ledger = Remembering()
    async with through_gateway(company, ledger), bare(company) as wire, asyncio.timeout(10):
        session = await open_session(wire)
        async with standing(wire, session) as stream, asyncio.TaskGroup() as tasks:
            calling = tasks.create_task(post(wire, ASIDE, session))
            request = await stream.message()
            assert request["method"] == "elicitation/create"
            assert len(request["id"]) > 40
            answer = {"jsonrpc": "2.0", "id": request["id"], "result": {"action": "decline"}}
            other = await open_session(wire)
            assert refusal_of(await post(wire, answer, other)) == (400, -32600, Reason.MESSAGE_INVALID)
            assert (await post(wire, answer, session)).status_code == 202
    assert answer_of(calling.result())["result"]["structuredContent"] == {"result": "went on alone"}
    assert "decline" in ledger.asked["aside"]


async def test_a_second_one_of_a_session_is_told_so(company: Company) -> None:
    async with through_gateway(company, Remembering()), bare(company) as wire, asyncio.timeout(10):
        session = await open_session(wire)
        async with standing(wire, session), standing(wire, session) as second:
            await second.response.aread()
    assert refusal_of(second.response)[::2] == (409, Reason.UPSTREAM_STATUS)


async def test_the_end_of_the_session_ends_it(company: Company) -> None:
    async with through_gateway(company, Remembering()), bare(company) as wire, asyncio.timeout(10):
        session, other = await open_session(wire), await open_session(wire)
        async with standing(wire, session) as stream, standing(wire, other) as elsewhere:
            headers = {name: str(value) for name, value in session.items()}
            assert (await wire.http.delete(wire.url, headers=headers)).status_code == 200
            assert await stream.rest() == []
            await post(wire, ANNOUNCE, other)
            assert (await elsewhere.message())["method"] == "notifications/resources/updated"


async def test_it_is_one_of_the_callers_streams(company: Company) -> None:
    company.settings["limits"] = {"streams_per_agent": 1}
    async with through_gateway(company, Remembering()), bare(company) as wire, asyncio.timeout(10):
        session = await open_session(wire)
        async with standing(wire, session):
            refused = await post(wire, ANNOUNCE, session)
        assert refusal_of(refused) == (429, 1429, Reason.TOO_MANY_STREAMS)


async def test_policy_that_changes_ends_it(company: Company) -> None:
    async with through_gateway(company, Remembering()), bare(company) as wire, asyncio.timeout(15):
        session = await open_session(wire)
        async with standing(wire, session) as stream:
            company.registry["agents"]["planner"]["status"] = "suspended"
            company.write()
            assert await stream.rest() == []
    [found] = opened(company)
    assert found.outcome is not None
    assert found.outcome.reason == Reason.LEASE_ENDED


async def test_nobody_holds_one_who_may_call_nothing(company: Company) -> None:
    ledger = Remembering()
    async with through_gateway(company, ledger), bare(company) as wire:
        session = await open_session(wire)
        company.registry["agents"]["planner"]["groups"] = []
        company.write()
        refused = None
        async with asyncio.timeout(15):
            # Until the change is taken over streams are opened, and then ended by it.
            while refused is None or refused[2] == Reason.LEASE_ENDED:
                before = len(ledger.headers)
                async with standing(wire, session) as stream:
                    if stream.response.status_code == 403:
                        await stream.response.aread()
                        refused = refusal_of(stream.response)
    assert refused == (403, 1403, Reason.NO_PERMIT)
    assert len(ledger.headers) == before


def scripts(*answers: bytes) -> Script:
    """An upstream that opens a session, and answers a GET with ``answers`` one after the other, then nothing more."""
    result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    opening = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
    left = list(answers)
    script: Script

    async def answer(writer: asyncio.StreamWriter) -> None:
        request = script.requests[-1]
        if request.startswith(b"GET"):
            writer.write(left.pop(0))
            await writer.drain()
            if not left:
                await writer.wait_closed()
        elif b'"initialize"' in request:
            writer.write(HEAD % (b"200 OK", b"application/json", b"Mcp-Session-Id: theirs\r\n") + opening)
        else:
            writer.write(HEAD % (b"202 Accepted", b"text/plain", b"Content-Length: 0\r\n"))

    script = Script(answer)
    return script


async def asked(company: Company, script: Script) -> tuple[httpx2.Response, list[Any]]:
    """The head of the standing stream in front of ``script``, and its messages."""
    async with (
        asyncio.timeout(10),
        scripted(company, "server/ledger", company.upstreams["ledger"], script),
        running(company),
        bare(company) as wire,
    ):
        assert (await post(wire, INITIALIZE)).status_code == 200
        session = await open_session(wire)
        async with standing(wire, session) as stream:
            if stream.response.status_code != 200:
                await stream.response.aread()
                return stream.response, []
            return stream.response, await stream.rest()


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (b"405 Method Not Allowed", b"text/plain", (405, Reason.HTTP_METHOD)),
        (b"404 Not Found", b"application/json", (404, Reason.SESSION_UNKNOWN)),
        (b"400 Bad Request", b"application/json", (502, Reason.UPSTREAM_STATUS)),
        (b"200 OK", b"application/json", (502, Reason.UPSTREAM_STATUS)),
        (b"204 No Content", b"text/event-stream", (502, Reason.UPSTREAM_STATUS)),
        (b"302 Found", b"text/event-stream", (502, Reason.UPSTREAM_STATUS)),
    ],
)
async def test_a_server_without_one(company: Company, status: bytes, kind: bytes, expected: tuple[int, Reason]) -> None:
    response, _ = await asked(company, scripts(HEAD % (status, kind, b"Content-Length: 0\r\n"), b""))
    assert refusal_of(response)[::2] == expected
    if expected[0] == 405:
        assert response.headers["allow"] == "POST"


EVENTS = HEAD % (b"200 OK", b"text/event-stream", b"")
CHANGED = b'data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n'


async def test_silence_ends_it_without_a_word_and_is_no_failure_of_the_server(company: Company) -> None:
    company.settings["limits"] = {"idle_stream_seconds": 0.2}
    response, messages = await asked(company, scripts(EVENTS + CHANGED))
    assert (response.status_code, [message["method"] for message in messages]) == (
        200,
        ["notifications/tools/list_changed"],
    )
    [found] = opened(company)
    assert found.outcome is not None
    assert (found.outcome.ok, found.outcome.reason) == (False, Reason.LEASE_ENDED)


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 1, "result": {"tools": []}},
        {"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "method": "notifications/unheard-of"},
        {"jsonrpc": "2.0", "method": "tools/call", "id": 1, "result": {}},
    ],
)
async def test_what_belongs_to_no_standing_stream_ends_it(company: Company, message: dict[str, Any]) -> None:
    _, messages = await asked(company, scripts(EVENTS + b"data: " + json.dumps(message).encode() + b"\n\n"))
    assert messages == []
    [found] = opened(company)
    assert found.outcome is not None
    assert (found.outcome.ok, found.outcome.reason) == (False, Reason.UPSTREAM_MALFORMED)


async def test_the_server_may_close_it(company: Company) -> None:
    closing = HEAD % (b"200 OK", b"text/event-stream", b"Content-Length: %d\r\n" % len(CHANGED)) + CHANGED
    _, messages = await asked(company, scripts(closing, b""))
    assert len(messages) == 1
    [found] = opened(company)
    assert found.outcome is not None
    assert (found.outcome.ok, found.outcome.detail) == (True, "the stream ended, and can be resumed")


async def test_a_client_that_leaves_is_known_to_the_server(company: Company) -> None:
    ledger = Remembering()
    async with (
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        running(company),
        bare(company) as wire,
        asyncio.timeout(10),
    ):
        session = await open_session(wire)
        async with standing(wire, session):
            assert not ledger.unheard.is_set()
        await ledger.unheard.wait()


async def test_the_end_of_the_session_ends_it_whatever_the_server_does(company: Company) -> None:
    script = scripts(EVENTS)
    async with (
        asyncio.timeout(10),
        scripted(company, "server/ledger", company.upstreams["ledger"], script),
        running(company),
        bare(company) as wire,
    ):
        session = await open_session(wire)
        async with standing(wire, session) as stream:
            headers = {name: str(value) for name, value in session.items()}
            assert (await wire.http.delete(wire.url, headers=headers)).status_code == 202
            assert await stream.rest() == []
    [found] = opened(company)
    assert found.outcome is not None
    assert (found.outcome.reason, found.outcome.detail) == (Reason.LEASE_ENDED, "the client has ended the session")
