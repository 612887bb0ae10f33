"""Revocation on the wire: refused before anything is bound or forwarded, open streams ended, within a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway.core.audit import RefusedRecord, token_digest
from gateway.core.revocation import (
    AgentTarget,
    AllTarget,
    AttributeTarget,
    Revocation,
    Target,
    TokenTarget,
    TxnTarget,
    UserTarget,
)
from gateway.store.revocations import SqlRevocations
from gateway.store.state import open_state
from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, call, post, record_of, refusal_of, through_gateway
from tests.wire.test_reload import ready, streamed

SECONDS = 20


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@pytest.fixture
async def ledger(company: Company) -> AsyncIterator[Ledger]:
    served = Ledger()
    async with through_gateway(company, served):
        yield served


@pytest.fixture
async def revocations(company: Company, ledger: Ledger) -> AsyncIterator[SqlRevocations]:
    """The gateway's store, as another process has it."""
    engine = await open_state(company.store_url)
    store = SqlRevocations(engine, company.directory / "hopgate.db")
    yield store
    store.close()
    await engine.dispose()


async def revoke(store: SqlRevocations, target: Target, name: str = "r1", expires: int | None = None) -> float:
    """When it was revoked, by the monotonic clock."""
    made = Revocation(id=name, target=target, reason="test", by="t", at=int(time.time() * 1000), expires=expires)
    assert await store.append(made) == made
    return time.monotonic()


async def until_refused(wire: Any) -> Any:
    """The first refusal."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await post(wire, call("read_balance"))
            if answer.status_code != 200:
                return answer


def claims(ledger: Ledger) -> dict[str, Any]:
    token = ledger.headers[-1]["authorization"].removeprefix("Bearer ")
    return dict(jwt.decode(token, options={"verify_signature": False}))


@pytest.mark.parametrize(
    "target",
    [
        AgentTarget("planner"),
        AgentTarget("spiffe://demo.test/agent/planner"),
        UserTarget("corp|maria"),
        AttributeTarget("environment", "production"),
        AttributeTarget("group", "finance-agents"),
        AttributeTarget("owner", "corp|maria"),
        AllTarget(),
    ],
    ids=lambda target: "-".join(filter(None, target.key)).replace("/", "-"),
)
async def test_new_requests_are_refused_within_a_second_and_recorded(
    company: Company, ledger: Ledger, revocations: SqlRevocations, target: Target
) -> None:
    async with bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
        at = await revoke(revocations, target)
        assert refusal_of(await until_refused(wire)) == (403, 1403, "revoked")
        took, calls = time.monotonic() - at, len(ledger.calls)
        assert took < 1
        refused = await post(wire, call("read_balance"))
        record = record_of(company, refused).record
        assert isinstance(record, RefusedRecord)
        assert (record.reason, record.detail) == ("revoked", "revocation r1 is in force")
        assert len(ledger.calls) == calls
        assert await revocations.lift("r1", "t", "", 0)
        async with asyncio.timeout(1):
            while (await post(wire, call("read_balance"))).status_code != 200:
                pass


async def test_a_revoked_root_token_is_to_be_replaced_and_a_fresh_one_serves(
    company: Company, ledger: Ledger, revocations: SqlRevocations
) -> None:
    token = company.token(f"{company.data_url}/mcp/ledger", jti="root-7")
    async with bare(company, token=token) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
        await revoke(revocations, TokenTarget("root-7"))
        refused = await until_refused(wire)
        assert refusal_of(refused) == (401, 1401, "token_revoked")
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    async with bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
    other = company.token(f"{company.data_url}/mcp/ledger")
    await revoke(revocations, TokenTarget(token_digest(other)), "r2")
    async with bare(company, token=other) as wire:
        assert refusal_of(await until_refused(wire))[2] == "token_revoked"


async def test_a_chain_is_revoked_whoever_continues_it(
    company: Company, ledger: Ledger, revocations: SqlRevocations
) -> None:
    async with bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
        await revoke(revocations, TxnTarget(claims(ledger)["txn"]))
        assert refusal_of(await until_refused(wire))[2] == "revoked"
    async with bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200


async def test_what_is_revoked_binds_no_token(company: Company, ledger: Ledger, revocations: SqlRevocations) -> None:
    token = company.token(f"{company.data_url}/mcp/ledger")
    async with bare(company) as wire:
        await revoke(revocations, AgentTarget("planner"))
        await until_refused(wire)
    async with bare(company, token=token) as wire:
        assert refusal_of(await post(wire, call("read_balance")))[2] == "revoked"
    assert await revocations.lift("r1", "t", "", 0)
    async with asyncio.timeout(SECONDS), bare(company, token=token) as wire:
        while (await post(wire, call("read_balance"))).status_code != 200:
            pass


async def test_it_lifts_itself_when_it_expires(company: Company, ledger: Ledger, revocations: SqlRevocations) -> None:
    expires = int(time.time()) + 2
    await revoke(revocations, AgentTarget("planner"), expires=expires)
    async with bare(company) as wire, asyncio.timeout(SECONDS):
        assert refusal_of(await until_refused(wire))[2] == "revoked"
        while (await post(wire, call("read_balance"))).status_code != 200:
            assert time.time() < expires + 1
        assert time.time() >= expires


async def test_an_open_stream_is_ended_and_its_upstream_let_go(
    company: Company, ledger: Ledger, revocations: SqlRevocations
) -> None:
    async with bare(company) as wire, asyncio.TaskGroup() as tasks:
        streaming = tasks.create_task(post(wire, streamed("slow")))
        await asyncio.wait_for(ledger.started.wait(), SECONDS)
        at = await revoke(revocations, AgentTarget("planner"))
        answer = await asyncio.wait_for(streaming, SECONDS)
        assert time.monotonic() - at < 1
        assert refusal_of(answer)[2] == "revoked"
        await asyncio.wait_for(ledger.cancelled.wait(), SECONDS)
    [found] = [each for each in company.records() if each.outcome is not None and not each.outcome.ok]
    assert found.outcome is not None
    assert (found.outcome.reason, found.outcome.detail) == ("revoked", "revocation r1 is in force")


async def test_a_stream_of_another_agent_goes_on(company: Company, ledger: Ledger, revocations: SqlRevocations) -> None:
    async with bare(company) as wire, bare(company, "cron", token=None) as other, asyncio.TaskGroup() as tasks:
        streaming = tasks.create_task(post(wire, streamed("slow")))
        await asyncio.wait_for(ledger.started.wait(), SECONDS)
        await revoke(revocations, AgentTarget("cron"))
        refused = await until_refused(other)
        assert refusal_of(refused)[2] == "revoked"
        ledger.release.set()
        answer = await asyncio.wait_for(streaming, SECONDS)
        assert answer_of(answer)["result"]["content"][0]["text"] == "done"


async def test_a_hop_that_waits_for_its_upstream_is_cut_off(
    company: Company, ledger: Ledger, revocations: SqlRevocations
) -> None:
    ledger.json_response = True
    async with bare(company) as wire, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(post(wire, call("slow")))
        await asyncio.wait_for(ledger.started.wait(), SECONDS)
        at = await revoke(revocations, AllTarget())
        answer = await asyncio.wait_for(waiting, SECONDS)
        assert time.monotonic() - at < 1
        assert refusal_of(answer)[2] == "revoked"
    assert len([each for each in company.records() if each.outcome is not None]) == 1


async def test_where_the_store_cannot_be_read_nothing_passes_and_streams_end(company: Company, ledger: Ledger) -> None:
    path = company.directory / "hopgate.db"
    async with bare(company) as wire, asyncio.TaskGroup() as tasks:
        streaming = tasks.create_task(post(wire, streamed("slow")))
        await asyncio.wait_for(ledger.started.wait(), SECONDS)
        path.rename(company.directory / "elsewhere.db")
        at = time.monotonic()
        assert refusal_of(await asyncio.wait_for(streaming, SECONDS))[2] == "revocations_unknown"
        assert time.monotonic() - at < 2
        calls = len(ledger.calls)
        refused = await post(wire, call("read_balance"))
        assert refusal_of(refused) == (503, 1503, "revocations_unknown")
        assert refused.headers["retry-after"] == "1"
        assert len(ledger.calls) == calls
        assert (await ready(company))["checks"]["revocations"] == "unknown"
        (company.directory / "elsewhere.db").rename(path)
        async with asyncio.timeout(SECONDS):
            while (await post(wire, call("read_balance"))).status_code != 200:
                pass
        assert (await ready(company))["checks"]["revocations"] == "ok"
