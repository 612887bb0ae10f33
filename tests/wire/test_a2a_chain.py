"""Delegation over real agents: each sends on the token it received, and the chain grows by exactly that agent."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.core.audit import DecisionRecord
from tests.company import DOMAIN, Company
from tests.gateways import asgi, running
from tests.wire.agent import Agent, answer_of, asking, balance, bare, heard, refusal_of, said, sending
from tests.wire.ledger import Ledger

PLANNER, ANALYST = f"spiffe://{DOMAIN}/agent/planner", f"spiffe://{DOMAIN}/agent/analyst"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@asynccontextmanager
async def everyone(company: Company, ledger: Ledger) -> AsyncIterator[tuple[Agent, Agent]]:
    """Planner, analyst and ledger behind the gateway."""
    planner, analyst = Agent(company, "planner"), Agent(company, "analyst")
    async with AsyncExitStack() as stack:
        for part, svid in ((planner, "agent/planner"), (analyst, "agent/analyst"), (ledger, "server/ledger")):
            port = company.upstreams[svid.split("/")[1]]
            await stack.enter_async_context(asgi(part.application, company, svid, port))
        await stack.enter_async_context(running(company))
        yield planner, analyst


def decisions(company: Company, action: str) -> list[DecisionRecord]:
    found = [each.record for each in company.records()]
    return [record for record in found if isinstance(record, DecisionRecord) and record.action == action]


async def test_a_person_asks_a_planner_that_asks_an_analyst_that_asks_the_ledger(company: Company) -> None:
    ledger = Ledger()
    async with everyone(company, ledger) as (planner, analyst), asking(company, None, "planner") as client:
        events = await heard(client, "ask analyst balance")
    assert said(events) == "planner < analyst < 128150"
    assert ledger.calls == [("read_balance", {"account": "payroll"})]
    [at_planner], [at_analyst] = planner.tokens, analyst.tokens
    assert "act" not in at_planner
    assert at_analyst["act"] == {"sub": PLANNER}
    hops = [*decisions(company, "delegate"), *decisions(company, "invokeTool")]
    assert [hop.chain.actors for hop in hops] == [(), (PLANNER,), (PLANNER, ANALYST)]
    assert [hop.chain.depth for hop in hops] == [0, 1, 2]
    assert {hop.chain.txn for hop in hops} == {at_planner["txn"], at_analyst["txn"]} == {hops[0].chain.txn}
    assert {hop.user for hop in hops} == {"corp|maria"}
    assert [hop.chain.parent for hop in hops[1:]] == [hop.minted and hop.minted.digest for hop in hops[:2]]
    assert [at_planner["del_scope"], at_analyst["del_scope"]] == [" ".join(hop.minted.ceiling) for hop in hops[:2]]


async def test_an_agent_that_is_asked_again_in_its_own_chain_may_not_delegate(company: Company) -> None:
    async with everyone(company, Ledger()) as (planner, analyst), asking(company, "planner") as client:
        events = await heard(client, "ask planner ask analyst hello")
        # Not even the card is shown for what may not be asked.
        assert said(events) == "analyst < planner refused no_permit"
        token = planner.headers[0]["authorization"].removeprefix("Bearer ")
        async with bare(company, "planner", token=token) as again:
            refused = answer_of(await again.post(sending("hello")))["error"]
    assert (refused["data"]["reason"], refused["data"]["policies"]) == ("forbidden", ["no-loops"])
    assert analyst.texts == ["ask planner ask analyst hello"]
    assert planner.texts == ["ask analyst hello"]
    chains = [hop.chain for hop in decisions(company, "delegate")]
    assert [chain.actors for chain in chains] == [(PLANNER,), (PLANNER, ANALYST), (PLANNER, ANALYST, PLANNER)]
    assert [chain.reentry for chain in chains] == [False, False, True]


async def test_a_chain_is_continued_only_by_the_agent_it_reached(company: Company) -> None:
    async with everyone(company, Ledger()) as (_, analyst):
        async with asking(company, "planner") as client:
            await heard(client, "hello")
        stolen = analyst.headers[0]["authorization"].removeprefix("Bearer ")
        async with (
            bare(company, "auditor", token=stolen) as auditor,
            bare(company, None, "planner", token=stolen) as man,
        ):
            for http in (auditor, man):
                assert refusal_of(await http.post(sending("hello"))) == (403, 1403, "chain_holder")
        assert await balance(company, "analyst", stolen) == "128150"
    assert analyst.texts == ["hello"]
