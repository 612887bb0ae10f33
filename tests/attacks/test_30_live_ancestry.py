"""Attack 30, continued: a delegate that may begin chains itself, and does so to look shallower than it is."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

from gateway.core.audit import DecisionRecord
from gateway.core.reasons import Reason
from tests.company import Company
from tests.gateways import asgi, running
from tests.wire.agent import Agent, Bare, sending
from tests.wire.delegate import ask, delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, record_of, refusal_of, through_gateway

READ = call("read_balance")


@pytest.fixture
def company(tmp_path: Path) -> Company:
    """The analyst begins chains too, and only shallow ones may read."""
    found = Company(tmp_path)
    found.registry["agents"]["analyst"] |= {"entry_point": True, "clients": ["cli"]}
    found.policies["platform/shallow.cedar"] = """
@id("shallow")
forbid (principal, action == Action::"invokeTool", resource) when { context.delegation_depth > 2 };
"""
    return found


@asynccontextmanager
async def asked(company: Company, ledger: Ledger) -> AsyncIterator[Agent]:
    """The planner has asked the analyst for Maria; the chain is still alive."""
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        await delegated(company, analyst)
        yield analyst


async def read(company: Company, agent: str = "analyst", **claims: Any) -> httpx2.Response:
    """A call with a root token that nobody presented before."""
    async with bare(company, agent, token=company.token(f"{company.data_url}/mcp/ledger", **claims)) as wire:
        return await post(wire, READ)


def last_call(company: Company) -> DecisionRecord:
    found = [each.record for each in company.records() if getattr(each.record, "action", "") == "invokeTool"]
    assert isinstance(found[-1], DecisionRecord)
    return found[-1]


async def test_a_fresh_token_of_the_same_user_looks_deeper_than_the_chain_it_may_hide(company: Company) -> None:
    ledger = Ledger()
    async with asked(company, ledger) as analyst:
        reply = await read(company)
    record = record_of(company, reply).record
    assert refusal_of(reply) == (403, 1403, Reason.FORBIDDEN)
    assert isinstance(record, DecisionRecord)
    assert [(policy.id, [(m.path, bytes(m.value)) for m in policy.matched]) for policy in record.policies] == [
        ("shallow", [("context.delegation_depth", b"3")])
    ]
    [held] = analyst.tokens
    assert record.chain.possible_parents == (held["txn"],)
    assert (record.chain.live_depth, record.chain.depth, record.chain.agents) == (2, 1, ("analyst",))
    assert record.chain.txn != held["txn"], "the chain stays its own"
    assert ledger.headers == []


async def test_an_honest_entry_agent_is_not_suspected(company: Company) -> None:
    ledger = Ledger()
    async with asked(company, ledger):
        assert (await read(company, "planner")).status_code == 200
        assert last_call(company).chain.possible_parents == ()


async def test_another_users_chain_is_no_reason(company: Company) -> None:
    async with asked(company, Ledger()):
        assert (await read(company, sub="jan")).status_code == 200
    assert last_call(company).chain.possible_parents == ()


async def test_policies_can_name_it(company: Company) -> None:
    company.policies["platform/shallow.cedar"] = """
@id("no-laundering")
forbid (principal, action == Action::"invokeTool", resource) when { context.live_ancestry };
"""
    async with asked(company, Ledger()):
        reply = await read(company)
        assert (await read(company, "planner")).status_code == 200
    assert refusal_of(reply) == (403, 1403, Reason.FORBIDDEN)


async def test_deny_refuses_whatever_policies_say(company: Company) -> None:
    company.registry["agents"]["analyst"]["live_ancestry"] = "deny"
    del company.policies["platform/shallow.cedar"]
    ledger = Ledger()
    async with asked(company, ledger) as analyst:
        reply = await read(company)
        assert (await read(company, sub="jan")).status_code == 200
    record = record_of(company, reply).record
    assert refusal_of(reply) == (403, 1403, Reason.LIVE_ANCESTRY)
    assert isinstance(record, DecisionRecord)
    assert record.chain.possible_parents == (analyst.tokens[0]["txn"],)
    assert len(ledger.headers) == 1


async def test_observe_only_records(company: Company) -> None:
    company.registry["agents"]["analyst"]["live_ancestry"] = "observe"
    company.policies["platform/shallow.cedar"] = """
@id("nothing-seen")
forbid (principal, action == Action::"invokeTool", resource)
when { context.live_ancestry || context.delegation_depth > 1 };
"""
    async with asked(company, Ledger()) as analyst:
        assert (await read(company)).status_code == 200
    assert last_call(company).chain.possible_parents == (analyst.tokens[0]["txn"],)


async def test_dropping_the_user_hides_nothing(company: Company) -> None:
    """Without a user there is no name to look for, so every chain that the agent works in counts."""
    async with asked(company, Ledger()) as analyst, bare(company, "analyst", token=None) as wire:
        reply = await post(wire, READ)
    record = record_of(company, reply).record
    assert refusal_of(reply) == (403, 1403, Reason.FORBIDDEN)
    assert isinstance(record, DecisionRecord)
    assert (record.user, record.chain.possible_parents) == (None, (analyst.tokens[0]["txn"],))


async def test_a_chain_without_a_user_that_reached_the_agent_counts_too(company: Company) -> None:
    company.registry["agents"]["cron"]["scopes"] += ["analyst/delegate"]
    company.settings["routes"]["a2a"]["analyst"] = {"user": "optional"}
    async with delegates(company, "analyst") as [analyst], through_gateway(company, Ledger()):
        async with httpx.AsyncClient(verify=company.client("cron")) as http:
            reply = await Bare(http, f"{company.data_url}/a2a/analyst").post(sending("close the books"))
        assert reply.status_code == 200, reply.text
        async with bare(company, "analyst", token=None) as wire:
            assert refusal_of(await post(wire, READ)) == (403, 1403, Reason.FORBIDDEN)
        assert (await read(company)).status_code == 200, "Maria has no chain that the analyst works in"
    assert analyst.tokens[0]["sub"].endswith("/agent/cron")


async def test_another_process_knows_it(company: Company) -> None:
    ledger = Ledger()
    async with (
        delegates(company, "analyst") as [analyst],
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
    ):
        async with running(company):
            await delegated(company, analyst)
        async with running(company):
            assert refusal_of(await read(company)) == (403, 1403, Reason.FORBIDDEN)
    assert ledger.headers == []


async def test_a_store_that_cannot_tell_refuses_both_ways(company: Company) -> None:
    ledger = Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        with closing(sqlite3.connect(company.directory / "hopgate.db")) as store:
            store.execute("DROP TABLE live_chains")
            store.commit()
        assert refusal_of(await read(company)) == (503, 1503, Reason.STORE_UNAVAILABLE)
        reply = await ask(company, "planner", "analyst")
        assert reply.json()["error"]["data"]["reason"] == Reason.STORE_UNAVAILABLE
    assert (ledger.headers, analyst.headers) == ([], [])
