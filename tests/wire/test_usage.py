"""``context.usage`` on real traffic: each call counts itself, records keep what was read, lists and streams stay."""

from pathlib import Path

import pytest
from mcp import MCPError

from gateway.core.audit import DecisionRecord
from gateway.core.model import Usage
from tests.company import SCOPES, Company
from tests.gateways import mcp_client
from tests.wire.agent import asking, heard
from tests.wire.analyst import analysing
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, through_gateway
from tests.wire.test_mcp_inbound import ASKING, WILLING

MANY = """
@id("too-many")
forbid (principal is Agent, action == Action::"invokeTool", resource in ToolSet::"finance-readonly")
when { context has usage && context.usage.agent_tool_requests_minute > 2 };
"""


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.policies["guardrails/many.cedar"] = MANY
    return company


async def test_the_call_that_is_one_too_many_is_denied_and_says_by_which_policy(company: Company) -> None:
    async with through_gateway(company, ledger := Ledger()), mcp_client(company) as client:
        for _ in range(2):
            await client.call_tool("read_balance", {})
        with pytest.raises(MCPError) as refused:
            await client.call_tool("read_balance", {})
        shown = {tool.name for tool in (await client.list_tools()).tools}
    assert refused.value.error.code == 1403
    assert refused.value.error.data["policies"] == ["too-many"]
    assert "read_balance" in shown, "it may be called again in a minute"
    assert len(ledger.calls) == 2
    denied = [found.record for found in company.records() if isinstance(found.record, DecisionRecord)]
    [record] = [record for record in denied if record.verdict == "deny"]
    [policy] = record.policies
    read = {match.path: bytes(match.value) for match in policy.matched}
    assert read["context.usage.agent_tool_requests_minute"] == b"3"
    assert record.usage is not None
    assert (record.usage.agent_tool_requests_minute, record.usage.tool_concurrent) == (3, 1)
    assert record.usage.agent_bytes_hour > record.usage.tool_bytes_hour > 0


async def test_nothing_is_kept_where_nothing_reads_it(company: Company) -> None:
    del company.policies["guardrails/many.cedar"]
    async with through_gateway(company, Ledger()), bare(company) as wire:
        await post(wire, call("read_balance"))
    [found] = company.records()
    assert isinstance(found.record, DecisionRecord)
    assert found.record.usage is None


async def test_a_servers_own_requests_are_decided_with_what_its_caller_has_used(company: Company) -> None:
    """A policy that reads usage would deny them for not knowing it."""
    granted = [*SCOPES, "ledger/consult"]
    company.registry["servers"]["ledger"]["tools"]["consult"] = {"risk_level": "low", "sets": ["finance-readonly"]}
    company.registry["agents"]["planner"]["scopes"] = granted
    company.settings["issuers"][0]["scope_map"]["all"] = granted
    company.policies["platform/asking.cedar"] = ASKING.replace(
        ";", "\nwhen { context has usage && context.usage.agent_tool_requests_minute == 1 };"
    )
    async with (
        through_gateway(company, ledger := Ledger()),
        mcp_client(company, mode="legacy", **WILLING) as session,
    ):
        await session.call_tool("consult", {})
    assert ledger.asked["elicitation"].startswith("answered: ")


async def test_agents_are_counted_where_they_are_delegated_to(company: Company) -> None:
    company.policies["guardrails/many.cedar"] = """
@id("two-at-most")
forbid (principal, action == Action::"delegate", resource)
when { context has usage && context.usage.agent_requests_minute > 3 };
"""
    async with analysing(company), asking(company, "planner", streaming=False) as client:
        await heard(client, "hello")
        await heard(client, "hello")
        with pytest.raises(Exception, match="403"):
            await heard(client, "hello")
    record = company.records()[-1].record
    assert isinstance(record, DecisionRecord)
    assert isinstance(record.usage, Usage)
    assert record.usage.agent_requests_minute == 4
    assert record.usage.agent_destructive_requests_minute == 0
