"""``Last-Event-ID``: a broken stream goes on where it was, for its owner, and while policy permits what it answers."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.audit.record import DecisionRecord
from gateway.core.reasons import Reason
from tests.company import Company
from tests.gateways import Script, mcp_client, running, scripted
from tests.wire.mcp_calls import INITIALIZE, bare, legacy, open_session, post, refusal_of, through_gateway
from tests.wire.remembering import READABLE, Remembering, admit
from tests.wire.streams import asking, standing

LEAVE = legacy("tools/call", {"name": "leave", "arguments": {"account": "payroll"}}, request_id=41)
ANNOUNCE = legacy("tools/call", {"name": "announce", "arguments": {}})


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    admit(found)
    return found


def decided(company: Company, method: str) -> list[DecisionRecord]:
    records = [found.record for found in company.records() if isinstance(found.record, DecisionRecord)]
    return [record for record in records if record.method == method]


async def test_an_answer_is_fetched_where_its_stream_broke_off(company: Company) -> None:
    ledger = Remembering()
    async with through_gateway(company, ledger), bare(company) as wire, asyncio.timeout(10):
        session = await open_session(wire)
        async with asking(wire, session, LEAVE) as broken:
            # The server closes the stream without an answer: no error, and an id to come back with.
            assert await broken.rest() == []
        assert [event.retry for event in broken.seen if event.retry] == [50]
        ledger.go_on.set()
        async with standing(wire, session, broken.last_id) as resumed:
            [answer] = await resumed.rest()
    assert (answer["id"], answer["result"]["structuredContent"]) == (41, {"result": "back with payroll"})
    assert ledger.calls == [("leave", {"account": "payroll"})], "called once"
    [made], [again] = decided(company, "tools/call"), decided(company, "GET tools/call")
    assert (made.resource, made.arguments_digest) == (again.resource, again.arguments_digest)
    assert {policy.id for policy in again.policies} == {"finance-read"}
    outcomes = [found.outcome for found in company.records() if found.record in (made, again)]
    assert [outcome.ok for outcome in outcomes if outcome] == [True, True]
    assert outcomes[0] is not None
    assert outcomes[0].detail == "the stream ended, and can be resumed"


async def test_the_official_client_gets_its_answer(company: Company) -> None:
    ledger = Remembering()
    steps: list[float] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async with (
        asyncio.timeout(15),
        through_gateway(company, ledger),
        mcp_client(company, mode="legacy") as client,
        asyncio.TaskGroup() as tasks,
    ):
        calling = tasks.create_task(client.call_tool("leave", {"account": "x"}, progress_callback=progressed))
        # Not later: the SDK's server loses what is said between its replay and its going on.
        await ledger.closed.wait()
        ledger.go_on.set()
        result = await calling
    assert ledger.resumed.is_set()
    assert result.structured_content == {"result": "back with x"}
    assert ledger.calls == [("leave", {"account": "x"})]


async def test_the_standing_stream_goes_on_after_the_last_event(company: Company) -> None:
    ledger = Remembering()
    async with through_gateway(company, ledger), bare(company) as wire, asyncio.timeout(10):
        session = await open_session(wire)
        async with standing(wire, session) as stream:
            await post(wire, ANNOUNCE, session)
            assert (await stream.message())["params"] == {"uri": READABLE}
            last = stream.last_id
        await post(wire, ANNOUNCE, session)
        async with standing(wire, session, last) as resumed:
            methods = [(await resumed.message())["method"] for _ in range(3)]
    assert methods == [
        "notifications/tools/list_changed",
        "notifications/resources/updated",
        "notifications/tools/list_changed",
    ]
    assert len(decided(company, "GET")) == 2


async def test_an_event_that_is_not_the_clients_still_moves_it_on(company: Company) -> None:
    async with through_gateway(company, Remembering()), bare(company) as wire, asyncio.timeout(10):
        session = await open_session(wire)
        async with standing(wire, session) as stream:
            await post(wire, ANNOUNCE, session)
            await stream.message()
    placed = [event for event in stream.seen if not event.data and event.retry is None and event.id]
    assert len(placed) == 1, "the update of what may not be read is an id without data"


async def test_resuming_is_decided_anew(company: Company) -> None:
    ledger = Remembering()
    async with through_gateway(company, ledger), bare(company) as wire, asyncio.timeout(15):
        session = await open_session(wire)
        async with asking(wire, session, LEAVE) as broken:
            await broken.rest()
        ledger.go_on.set()
        company.policies["guardrails/late.cedar"] = (
            '@id("late") forbid (principal, action == Action::"invokeTool", resource == Tool::"ledger/leave");'
        )
        company.write()
        refused = None
        while refused is None:
            async with standing(wire, session, broken.last_id) as resumed:
                before = len(ledger.headers)
                if resumed.response.status_code == 403:
                    await resumed.response.aread()
                    refused = refusal_of(resumed.response)
        assert len(ledger.headers) == before
        # The session's own standing stream is another thing.
        async with standing(wire, session) as other:
            assert other.response.status_code == 200
    assert refused == (403, 1403, Reason.FORBIDDEN)
    assert decided(company, "GET tools/call")[-1].verdict == "deny"


async def test_an_argument_that_policy_reads_is_read_again(company: Company) -> None:
    schema = {"type": "object", "properties": {"account": {"type": "string"}}, "required": ["account"]}
    company.registry["servers"]["ledger"]["tools"]["leave"]["input_schema"] = schema
    ledger = Remembering()
    async with through_gateway(company, ledger), bare(company) as wire, asyncio.timeout(15):
        session = await open_session(wire)
        async with asking(wire, session, LEAVE) as broken:
            await broken.rest()
        company.policies["guardrails/payroll.cedar"] = (
            '@id("no-payroll") forbid (principal, action == Action::"invokeTool", resource == Tool::"ledger/leave") '
            'when { context has args.ledger.leave && context.args.ledger.leave.account == "payroll" };'
        )
        company.write()
        status = 200
        while status == 200:
            async with standing(wire, session, broken.last_id) as resumed:
                status = resumed.response.status_code
    assert status == 403
    assert [policy.id for policy in decided(company, "GET tools/call")[-1].policies] == ["no-payroll"]


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n%s\r\n"
OPENED = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
READ = legacy("tools/call", {"name": "read_balance", "arguments": {}})


def answering(event: bytes) -> Script:
    """A server of sessions that answers a call with ``event`` and then drops the connection within the answer."""
    opening = json.dumps({"jsonrpc": "2.0", "id": 1, "result": OPENED}).encode()

    async def answer(writer: asyncio.StreamWriter) -> None:
        if b'"initialize"' in script.requests[-1]:
            writer.write(HEAD % b"Mcp-Session-Id: theirs\r\n" + b"data: " + opening + b"\n\n")
        elif b'"tools/call"' in script.requests[-1]:
            writer.write(HEAD % b"Content-Length: 100000\r\n" + event)
        else:
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    script = Script(answer)
    return script


async def broken_off(company: Company, event: bytes, message: Any = READ) -> tuple[list[str | None], list[Any]]:
    """The ids and the messages of the stream that such a server's answer becomes."""
    async with (
        asyncio.timeout(10),
        scripted(company, "server/ledger", company.upstreams["ledger"], answering(event)),
        running(company),
        bare(company) as wire,
    ):
        assert (await post(wire, INITIALIZE)).status_code == 200
        session = await open_session(wire)
        async with asking(wire, session, message) as stream:
            messages = await stream.rest()
    return [event.id for event in stream.seen if event.id], messages


async def test_a_connection_that_breaks_leaves_the_way_back_open(company: Company) -> None:
    ids, messages = await broken_off(company, b"id: 7\ndata: \n\n")
    assert (len(ids), messages) == (1, [])
    assert ids[0] != "7"
    [call] = [found for found in company.records() if getattr(found.record, "method", "") == "tools/call"]
    assert call.outcome is not None
    assert (call.outcome.ok, call.outcome.reason) == (False, Reason.UPSTREAM_RESET)


@pytest.mark.parametrize(
    "event_id",
    [
        b"", b" 7", b"a\x0bb", "é".encode(), b"x" * 257,
    ],
)  # fmt: skip
async def test_an_id_that_no_header_carries_is_not_handed_out(company: Company, event_id: bytes) -> None:
    ids, [error] = await broken_off(company, b"id:  " + event_id + b"\ndata: \n\n")
    assert ids == []
    assert error["error"]["data"]["reason"] == Reason.UPSTREAM_RESET, "there is no way back, so the call has failed"


async def test_a_call_too_large_for_a_header_cannot_be_resumed(company: Company) -> None:
    large = {**READ, "params": {**READ["params"], "arguments": {"account": "x" * 9_000}}}
    ids, [error] = await broken_off(company, b"id: 7\ndata: \n\n", large)
    assert ids == []
    assert error["error"]["data"]["reason"] == Reason.UPSTREAM_RESET
