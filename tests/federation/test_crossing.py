"""A chain that crosses from one gateway to another: real agents, real gateways, two trust domains."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.core.audit import DecisionRecord
from tests.company import Company
from tests.federation.sides import ANALYST, GATEWAY_A, PLANNER, Sides, everyone, sides
from tests.gateways import mcp_client
from tests.wire.agent import asking, heard, said


@pytest.fixture
async def found(tmp_path: Path) -> AsyncIterator[Sides]:
    pair = sides(tmp_path)
    async with everyone(pair):
        yield pair


def decisions(company: Company, action: str) -> list[DecisionRecord]:
    records = [each.record for each in company.records()]
    return [record for record in records if isinstance(record, DecisionRecord) and record.action == action]


async def test_an_agent_asks_one_behind_another_gateway_that_goes_on(found: Sides) -> None:
    async with asking(found.a, "planner") as client:
        events = await heard(client, "balance")
    assert said(events) == "analyst < 128150"
    [at_analyst] = found.analyst.tokens
    assert (at_analyst["iss"], at_analyst["via"], at_analyst["act"]) == (
        found.b.public_url,
        GATEWAY_A,
        {"sub": PLANNER},
    )
    hops = [*decisions(found.a, "delegate"), *decisions(found.b, "delegate"), *decisions(found.b, "invokeTool")]
    assert [hop.chain.actors for hop in hops] == [(PLANNER,), (PLANNER,), (PLANNER, ANALYST)]
    assert {(hop.chain.txn, hop.user) for hop in hops} == {(at_analyst["txn"], "corp|maria")}
    assert hops[0].trace_id == hops[1].trace_id, "one trace through both gateways"


async def test_a_tool_behind_another_gateway(found: Sides) -> None:
    async with mcp_client(found.a) as client:
        listed = await client.list_tools()
        result = await client.call_tool("read_balance", {"account": "payroll"})
    assert (result.structured_content or {})["balance"] == 128150
    assert "read_balance" in [tool.name for tool in listed.tools]
