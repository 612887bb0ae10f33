"""Cancellation as each era has it: a modern client closes its stream, a legacy one sends a notification."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from gateway.core.audit import OutcomeRecord
from gateway.core.reasons import Reason
from tests.company import Company
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import (
    Wire,
    answer_of,
    bare,
    call,
    headers_of,
    legacy,
    open_session,
    post,
    through_gateway,
)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@asynccontextmanager
async def streaming(wire: Wire, message: dict, headers: dict | None = None) -> AsyncIterator[httpx2.Response]:
    kept = headers_of(message) | (headers or {})
    async with wire.http.stream("POST", wire.url, json=message, headers=kept) as response:
        yield response


def outcome_of(company: Company, action: str) -> OutcomeRecord:
    [outcome] = [found.outcome for found in company.records() if found.record.action == action]
    assert outcome is not None
    return outcome


async def happens(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()


async def test_a_modern_client_cancels_by_closing_its_stream(company: Company) -> None:
    ledger = Ledger()
    message = call("slow")
    message["params"]["_meta"]["progressToken"] = 1
    async with through_gateway(company, ledger), bare(company) as wire:
        async with streaming(wire, message) as response:
            first = await anext(response.aiter_lines())
            assert "notifications/progress" in first
        await happens(ledger.cancelled)
    assert not ledger.finished.is_set()
    outcome = outcome_of(company, "invokeTool")
    assert (outcome.ok, outcome.reason, outcome.events) == (False, Reason.CLIENT_CLOSED, 1)


async def test_a_modern_client_cancels_before_the_answer_began(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        async with asyncio.TaskGroup() as tasks:
            calling = tasks.create_task(post(wire, call("slow")))
            await happens(ledger.started)
            calling.cancel()
        await happens(ledger.cancelled)
    outcome = outcome_of(company, "invokeTool")
    assert (outcome.ok, outcome.reason, outcome.status) == (False, Reason.CLIENT_CLOSED, 499)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_the_official_client_cancels(company: Company, mode: str) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode=mode) as session:
        async with asyncio.TaskGroup() as tasks:
            calling = tasks.create_task(session.call_tool("slow", {}))
            await happens(ledger.started)
            calling.cancel()
        await happens(ledger.cancelled)
        again = await session.call_tool("read_balance", {})
    assert again.structured_content == {"account": "operations", "balance": 128150}
    assert not ledger.finished.is_set()


async def test_a_legacy_notification_is_relayed_and_the_call_ends(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        session = await open_session(wire)
        slow = legacy("tools/call", {"name": "slow", "arguments": {}}, request_id=9)
        async with asyncio.TaskGroup() as tasks:
            calling = tasks.create_task(post(wire, slow, session))
            await happens(ledger.started)
            cancel = legacy("notifications/cancelled", {"requestId": 9, "reason": "changed my mind"}, request_id=None)
            assert (await post(wire, cancel, session)).status_code == 202
            await happens(ledger.cancelled)
    answer = answer_of(calling.result())
    assert (answer["id"], "error" in answer) == (9, True), "the server answers what was cancelled"
    assert (outcome_of(company, "invokeTool").ok, outcome_of(company, "notify").ok) == (False, True)


async def test_a_legacy_notification_cancels_nothing_in_another_session(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire, bare(company) as other:
        mine, others = await open_session(wire), await open_session(other)
        slow = legacy("tools/call", {"name": "slow", "arguments": {}}, request_id=9)
        async with asyncio.TaskGroup() as tasks:
            calling = tasks.create_task(post(wire, slow, mine))
            await happens(ledger.started)
            cancel = legacy("notifications/cancelled", {"requestId": 9}, request_id=None)
            assert (await post(other, cancel, others)).status_code == 202
            assert (await post(other, legacy("ping"), others)).status_code == 200, "messages of a session are in order"
            ledger.release.set()
    assert answer_of(calling.result())["result"]["structuredContent"] == {"result": "done"}


async def test_a_legacy_client_that_leaves_cancels_nothing(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        session = await open_session(wire)
        slow = legacy("tools/call", {"name": "slow", "arguments": {}, "_meta": {"progressToken": 1}})
        async with streaming(wire, slow, session) as response:
            await anext(response.aiter_lines())
        await happens(ledger.left)
        assert (await post(wire, legacy("ping"), session)).status_code == 200
        ledger.release.set()
        await happens(ledger.finished)
    assert not ledger.cancelled.is_set()
    assert outcome_of(company, "invokeTool").reason == Reason.CLIENT_CLOSED
