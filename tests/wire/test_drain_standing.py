"""A stop waits for answers under way, and never for a stream that only stands."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.core.reasons import Reason
from gateway.store.query import Found
from tests.company import SCOPES, Company
from tests.gateways import asgi, mcp_client, running
from tests.wire.mcp_calls import Wire, bare, legacy, open_session
from tests.wire.remembering import Remembering, admit
from tests.wire.streams import Session, Stream, asking, standing

SLOW = legacy("tools/call", {"name": "slow", "arguments": {}})
HEAR = """
@id("hear")
permit (principal in Group::"finance-agents", action == Action::"subscribe", resource == McpServer::"ledger");
"""


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    admit(found)
    # Longer than the tests take: what is waited for shows.
    found.settings["limits"] = {"graceful_stop_seconds": 60}
    return found


def ended(company: Company, method: str) -> Found:
    [found] = [found for found in company.records() if getattr(found.record, "method", "") == method]
    return found


async def test_a_session_that_only_stands_holds_nothing_up(company: Company) -> None:
    ledger = Remembering()
    async with (
        asyncio.timeout(15),
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        bare(company) as wire,
        AsyncExitStack() as streams,
    ):
        async with running(company):
            session = await open_session(wire)
            stream = await streams.enter_async_context(standing(wire, session))
        assert await stream.rest() == [], "it ends well, and nothing was owed"
    outcome = ended(company, "GET").outcome
    assert outcome is not None
    assert outcome.reason == Reason.DRAINING


async def test_an_answer_under_way_ends_well_and_the_standing_stream_beside_it_at_once(company: Company) -> None:
    ledger = Remembering()
    async with (
        asyncio.timeout(15),
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        bare(company) as wire,
        bare(company) as beside,
        AsyncExitStack() as streams,
        asyncio.TaskGroup() as tasks,
    ):
        async with running(company):
            session = await open_session(wire)
            stream = await streams.enter_async_context(standing(beside, session))
            calling = tasks.create_task(_answer(wire, session))
            await ledger.started.wait()
            tasks.create_task(_released(stream, ledger))
        assert (await calling)["result"]["structuredContent"] == {"result": "done"}
    call = ended(company, "tools/call").outcome
    assert call is not None
    assert (call.ok, call.reason) == (True, Reason.PERMITTED)


async def test_a_subscription_is_ended_as_the_protocol_ends_one(company: Company) -> None:
    company.policies["platform/hear.cedar"] = HEAR
    granted = [*SCOPES, "ledger/resources/read"]
    company.registry["agents"]["planner"]["scopes"] = granted
    ledger = Remembering()
    listening = asyncio.Event()

    async def hear() -> list[object]:
        async with (
            mcp_client(company, mode="2026-07-28") as client,
            client.listen(tools_list_changed=True) as changes,
        ):
            listening.set()
            return [change async for change in changes]

    async with (
        asyncio.timeout(15),
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        asyncio.TaskGroup() as tasks,
    ):
        async with running(company):
            hearing = tasks.create_task(hear())
            await listening.wait()
        # The client raises SubscriptionLost for anything but a graceful end.
        assert await hearing == []
    outcome = ended(company, "subscriptions/listen").outcome
    assert outcome is not None
    assert outcome.reason == Reason.DRAINING


async def _answer(wire: Wire, session: Session) -> Any:
    async with asking(wire, session, SLOW) as stream:
        return (await stream.rest())[-1]


async def _released(stream: Stream, ledger: Remembering) -> None:
    """The call may go on once the standing stream has ended."""
    assert await stream.rest() == []
    ledger.release.set()
