"""Attack 31: joining a chain by a trace that isn't one's own, isn't one, or is of another chain.

A trace id is no secret; a handle is one agent's. Whatever leads nowhere must not begin a shorter chain either.
"""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from gateway.core.audit import RefusedRecord
from tests.company import Company
from tests.wire.agent import Agent
from tests.wire.delegate import delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import refusal_of, through_gateway
from tests.wire.tracing import PARENT, carrying, handed, traced

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN, MISSING = (403, 1403, "handle_unknown"), (401, 1401, "token_missing")


class Stage(NamedTuple):
    company: Company
    ledger: Ledger
    analyst: Agent
    planner: Agent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    traced(company, "analyst", "planner", "cron", "auditor")
    async with delegates(company, "analyst", "planner") as [analyst, planner], through_gateway(company, ledger):
        yield Stage(company, ledger, analyst, planner)


async def refused(stage: Stage, agent: str, *states: str, meta: str | None = None, **more: str) -> tuple[int, int, str]:
    """How the request is refused; nothing arrives at the ledger, and the refusal is recorded."""
    before = len(stage.ledger.headers)
    reply = await carrying(stage.company, agent, *states, meta=meta, **more)
    assert len(stage.ledger.headers) == before
    record = stage.company.records()[-1].record
    assert isinstance(record, RefusedRecord)
    assert record.agent is not None
    assert record.agent.name == agent
    return refusal_of(reply)


@pytest.mark.parametrize("thief", ["auditor", "planner", "cron", "outsider"])
async def test_someone_elses_handle(stage: Stage, thief: str) -> None:
    """Also for an entry point that could begin a chain of its own, and for an agent that never opted in."""
    stolen = f"hopgate={await handed(stage.company, stage.analyst)}"
    assert await refused(stage, thief, stolen) == UNKNOWN
    assert await refused(stage, thief, meta=stolen) in (UNKNOWN, MISSING)
    assert (await carrying(stage.company, "analyst", stolen)).status_code == 200, "its owner's still"


@pytest.mark.parametrize(
    "value",
    ["", "0" * 32, "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "x", "'; drop table handles; --", "%s" * 20],
)
@pytest.mark.parametrize("agent", ["analyst", "cron"])
async def test_a_handle_that_nobody_was_given(stage: Stage, agent: str, value: str) -> None:
    assert await refused(stage, agent, f"hopgate={value}") == UNKNOWN


async def test_a_handle_that_is_changed(stage: Stage) -> None:
    handle = await handed(stage.company, stage.analyst)
    for changed in (handle[:-1], handle + "0", handle.upper(), handle[::-1], f"{handle} x"):
        if changed != handle:
            assert await refused(stage, "analyst", f"hopgate={changed}") == UNKNOWN


async def test_two_handles_of_the_same_agent(stage: Stage) -> None:
    one, two = [f"hopgate={await handed(stage.company, stage.analyst)}" for _ in range(2)]
    assert await refused(stage, "analyst", f"{one},{two}") == UNKNOWN
    assert await refused(stage, "analyst", one, two) == UNKNOWN, "two headers"
    assert await refused(stage, "analyst", one, meta=two) == UNKNOWN, "header and message"
    assert await refused(stage, "analyst", f"hopgate=,{one}") == UNKNOWN


async def test_a_trace_id_alone_selects_nothing(stage: Stage) -> None:
    await handed(stage.company, stage.analyst)
    arrived = stage.analyst.headers[-1]["traceparent"]
    assert await refused(stage, "analyst", traceparent=arrived) == MISSING
    assert await refused(stage, "analyst", "congo=1") == MISSING


async def test_a_handle_elsewhere_is_none(stage: Stage) -> None:
    handle = await handed(stage.company, stage.analyst)
    state = f"hopgate={handle}"
    elsewhere = {
        "baggage": state, "hopgate": handle, "x-hopgate": handle, "traceparent": f"{PARENT},{state}", "cookie": state,
    }  # fmt: skip
    for name, value in elsewhere.items():
        assert await refused(stage, "analyst", **{name: value}) == MISSING
    assert await refused(stage, "analyst", f"xhopgate={handle},hopgate@x={handle},x@hopgate={handle}") == MISSING


async def test_a_handle_beside_a_token_of_another_chain(stage: Stage) -> None:
    company = stage.company
    first = await handed(company, stage.analyst)
    token = stage.analyst.headers[-1]["authorization"].removeprefix("Bearer ")
    second = await handed(company, stage.analyst)
    conflict = (403, 1403, "chain_conflict")
    assert await refused(stage, "analyst", f"hopgate={second}", token=token) == conflict, "another delegation"
    assert await refused(stage, "analyst", f"hopgate={'0' * 32}", token=token) == UNKNOWN
    own = await handed(company, stage.planner, caller=None)
    root = company.token(f"{company.data_url}/mcp/ledger")
    assert await refused(stage, "planner", f"hopgate={own}", token=root) == conflict, "a fresh beginning is none"
    assert (await carrying(company, "analyst", f"hopgate={first}", token=token)).status_code == 200


async def test_a_handle_is_over_with_its_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    company, ledger, now, ahead = Company(tmp_path), Ledger(), time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: now() + ahead[-1])
    traced(company, "analyst")
    company.settings["limits"] = {"root_ttl_seconds": 30, "access_ttl_seconds": 5}
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        handle = await handed(company, analyst)
        assert (await carrying(company, "analyst", f"hopgate={handle}")).status_code == 200
        ahead.append(31)
        assert refusal_of(await carrying(company, "analyst", f"hopgate={handle}")) == UNKNOWN
        fresh = await handed(company, analyst, token=company.token(f"{company.data_url}/a2a/analyst"))
        assert (await carrying(company, "analyst", f"hopgate={fresh}")).status_code == 200
