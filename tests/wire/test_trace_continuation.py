"""Trace-carried continuation over the wire: what a delegate is given, how it joins its chain, who is given nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from gateway.core.audit import DecisionRecord
from tests.company import DOMAIN, Company
from tests.gateways import asgi, running
from tests.wire import agent as a2a
from tests.wire.agent import Agent
from tests.wire.delegate import ask, delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import refusal_of, through_gateway
from tests.wire.token_endpoint import ask as ask_token
from tests.wire.token_endpoint import exchange
from tests.wire.tracing import PARENT, carrying, handed, handle_of, traced

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANNER, ANALYST = f"spiffe://{DOMAIN}/agent/planner", f"spiffe://{DOMAIN}/agent/analyst"


class Stage(NamedTuple):
    company: Company
    ledger: Ledger
    analyst: Agent
    planner: Agent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    traced(company, "analyst", "cron")
    async with delegates(company, "analyst", "planner") as [analyst, planner], through_gateway(company, ledger):
        yield Stage(company, ledger, analyst, planner)


async def test_a_delegate_that_opted_in_is_given_a_fresh_handle_each_time(stage: Stage) -> None:
    found = {await handed(stage.company, stage.analyst) for _ in range(3)}
    assert len(found) == 3
    assert all(len(handle) == 32 and int(handle, 16) for handle in found)


async def test_nobody_else_is_given_one(stage: Stage) -> None:
    await delegated(stage.company, stage.planner, caller=None)
    assert "tracestate" not in stage.planner.headers[-1]
    handle = await handed(stage.company, stage.analyst)
    assert (await carrying(stage.company, "analyst", f"hopgate={handle}")).status_code == 200
    assert "tracestate" not in stage.ledger.headers[-1]


@pytest.mark.parametrize("where", ["header", "message", "both"])
async def test_its_chain_is_joined_with_nothing_but_the_trace(stage: Stage, where: str) -> None:
    state = f"hopgate={await handed(stage.company, stage.analyst)}"
    headers, meta = ([state] if where != "message" else []), (state if where != "header" else None)
    reply = await carrying(stage.company, "analyst", *headers, meta=meta)
    assert reply.status_code == 200, reply.text
    delegation, call = (found.record for found in stage.company.records()[-2:])
    assert isinstance(delegation, DecisionRecord)
    assert isinstance(call, DecisionRecord)
    assert delegation.minted is not None
    assert (call.chain.actors, call.chain.depth, call.chain.way) == ((PLANNER, ANALYST), 2, "trace")
    assert (call.chain.txn, call.chain.root_expires) == (delegation.chain.txn, delegation.chain.root_expires)
    assert call.chain.parent == delegation.minted.digest, "one tree"
    assert call.user == "corp|maria"
    arrived = stage.ledger.headers[-1]
    assert arrived["traceparent"].split("-")[1] == PARENT.split("-")[1]
    assert state.encode() not in stage.ledger.bodies[-1]


async def test_the_same_as_by_header_copy(stage: Stage) -> None:
    handle = await handed(stage.company, stage.analyst)
    token = stage.analyst.headers[-1]["authorization"].removeprefix("Bearer ")
    assert (await carrying(stage.company, "analyst", f"hopgate={handle}")).status_code == 200
    assert (await carrying(stage.company, "analyst", token=token)).status_code == 200
    assert (await carrying(stage.company, "analyst", f"hopgate={handle}", token=token)).status_code == 200, "they agree"
    by_trace, by_header, by_both = (found.record for found in stage.company.records()[-3:])
    for record in (by_trace, by_header, by_both):
        assert isinstance(record, DecisionRecord)
        assert record.chain == type(record.chain)(**{**_fields(by_header), "way": record.chain.way})
    assert [r.chain.way for r in (by_trace, by_header, by_both)] == ["trace", "header", "header"]


def _fields(record: object) -> dict[str, object]:
    assert isinstance(record, DecisionRecord)
    return {name: getattr(record.chain, name) for name in record.chain.__struct_fields__}


async def test_with_an_exchanged_token_of_the_same_delegation(stage: Stage) -> None:
    handle = await handed(stage.company, stage.analyst)
    held = stage.analyst.headers[-1]["authorization"].removeprefix("Bearer ")
    token = (await ask_token(stage.company, "analyst", exchange(stage.company, held))).json()["access_token"]
    assert (await carrying(stage.company, "analyst", f"hopgate={handle}", token=token)).status_code == 200
    other = await handed(
        stage.company, stage.analyst, token=stage.company.token(f"{stage.company.data_url}/a2a/analyst")
    )
    refused = await carrying(stage.company, "analyst", f"hopgate={other}", token=token)
    assert refusal_of(refused) == (403, 1403, "chain_conflict")


async def test_other_vendors_members_are_passed_on_and_ours_never(stage: Stage) -> None:
    handle = await handed(stage.company, stage.analyst)
    state = f"congo=t61rcWkgMzE,hopgate={handle},rojo@x=00f067aa0ba902b7"
    assert (await carrying(stage.company, "analyst", state)).status_code == 200
    assert stage.ledger.headers[-1]["tracestate"] == "congo=t61rcWkgMzE,rojo@x=00f067aa0ba902b7"


async def test_members_of_the_delegators_trace_stay_behind_the_handle(stage: Stage) -> None:
    company = stage.company
    forged = "congo=1,hopgate=0123456789abcdef0123456789abcdef"
    async with a2a.bare(company, "planner", "analyst") as route:
        reply = await route.post(a2a.sending("hello"), {"traceparent": PARENT, "tracestate": forged})
    assert reply.status_code == 200
    arrived = stage.analyst.headers[-1]["tracestate"]
    assert arrived == f"hopgate={handle_of(stage.analyst.headers[-1])},congo=1"
    assert "0123456789abcdef" not in arrived


async def test_an_agent_without_a_trace_is_as_without_a_token(stage: Stage) -> None:
    for states in ([], ["congo=1"]):
        assert refusal_of(await carrying(stage.company, "analyst", *states)) == (401, 1401, "token_missing")
    assert (await carrying(stage.company, "cron")).status_code == 200, "an entry point begins a chain of its own"


async def test_a_route_that_needs_a_user(tmp_path: Path) -> None:
    company, ledger = Company(tmp_path), Ledger()
    traced(company, "analyst", "cron")
    company.settings["routes"]["mcp"]["ledger"]["user"] = "required"
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        handle = await handed(company, analyst)
        assert (await carrying(company, "analyst", f"hopgate={handle}")).status_code == 200
        assert refusal_of(await carrying(company, "analyst")) == (401, 1401, "token_missing")
        assert refusal_of(await carrying(company, "cron")) == (401, 1401, "token_missing")


async def test_a_chain_outlives_the_gateways_process(tmp_path: Path) -> None:
    company, ledger = Company(tmp_path), Ledger()
    traced(company, "analyst")
    async with (
        delegates(company, "analyst") as [analyst],
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
    ):
        async with running(company):
            handle = await handed(company, analyst)
        async with running(company):
            assert (await carrying(company, "analyst", f"hopgate={handle}")).status_code == 200


@pytest.mark.parametrize("off", ["route", "agent"])
async def test_switched_off(tmp_path: Path, off: str) -> None:
    """By the registry the agent is given no handle; by the route one that it has opens nothing there."""
    company, ledger = Company(tmp_path), Ledger()
    traced(company, "analyst")
    if off == "route":
        company.settings["routes"]["mcp"]["ledger"]["continuation"] = ["header", "exchange"]
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        handle = await handed(company, analyst)
        if off == "agent":
            company.registry["agents"]["analyst"]["continuation"] = ["header"]
    if off == "agent":
        async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
            token = await delegated(company, analyst)
            assert "tracestate" not in analyst.headers[-1]
            refused = await carrying(company, "analyst", f"hopgate={handle}")
            assert refusal_of(refused) == (403, 1403, "handle_unknown")
            assert (await carrying(company, "analyst", f"hopgate={handle}", token=token)).status_code == 200
        return
    async with delegates(company, "analyst"), through_gateway(company, ledger):
        assert refusal_of(await carrying(company, "analyst", f"hopgate={handle}")) == (403, 1403, "handle_unknown")


async def test_nothing_keeps_or_tells_a_handle(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    company = stage.company
    handle = await handed(company, stage.analyst)
    ask_again = await carrying(company, "analyst", f"hopgate={handle}", f"hopgate={'0' * 32}")
    assert refusal_of(ask_again) == (403, 1403, "handle_unknown")
    assert handle not in ask_again.text
    assert (await carrying(company, "analyst", f"hopgate={handle}", meta=f"hopgate={handle}")).status_code == 200
    assert (await ask(company, "planner", "analyst")).status_code == 200
    told = "".join(capfd.readouterr())
    kept = [path for path in company.directory.rglob("*") if path.is_file() and handle.encode() in path.read_bytes()]
    assert handle not in told
    assert not kept, kept
