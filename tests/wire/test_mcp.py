"""MCP through the gateway with the official client and server, over mutual TLS, in both eras: who sees which tools,
what a call brings back, and what a refusal says."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError

from gateway.core.reasons import Reason
from tests.company import Company
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import through_gateway

BOTH = ["legacy", "2026-07-28"]


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@pytest.mark.parametrize("mode", [*BOTH, "auto"])
@pytest.mark.parametrize("json_response", [False, True])
async def test_the_published_example_lists_and_calls(company: Company, mode: str, json_response: bool) -> None:
    ledger = Ledger(json_response=json_response)
    async with through_gateway(company, ledger), mcp_client(company, mode=mode) as session:
        listed = await session.list_tools()
        result = await session.call_tool("read_balance", {"account": "payroll"})
    assert [tool.name for tool in listed.tools] == ["read_balance", "list_entries", "pay", "count", "slow"]
    assert result.structured_content == {"account": "payroll", "balance": 128150}
    assert ledger.calls == [("read_balance", {"account": "payroll"})]


@pytest.mark.parametrize("mode", BOTH)
async def test_each_agent_sees_only_what_it_may_call(company: Company, mode: str) -> None:
    company.registry["agents"]["auditor"] |= {"entry_point": True, "clients": ["cli"]}
    async with through_gateway(company, Ledger()), mcp_client(company, "auditor", mode=mode) as session:
        listed = await session.list_tools()
        with pytest.raises(MCPError) as refused:
            await session.call_tool("read_balance", {})
    assert [tool.name for tool in listed.tools] == ["pay"], "its risk is medium, and finance-read takes low"
    assert refused.value.error.data["reason"] == Reason.NO_PERMIT
    hidden = next(found.outcome.hidden for found in company.records() if found.outcome and found.outcome.hidden)
    assert set(hidden) == {
        "read_balance",
        "list_entries",
        "count",
        "slow",
        "consult",
        "delete_all",
        "unregistered",
        "confirm",
        "touch",
        "tell",
    }


@pytest.mark.parametrize("mode", BOTH)
async def test_an_agent_that_may_call_nothing_cannot_even_open(company: Company, mode: str) -> None:
    company.registry["agents"]["outsider"] |= {"entry_point": True, "clients": ["cli"]}
    ledger = Ledger()
    async with through_gateway(company, ledger):
        with pytest.raises((MCPError, ExceptionGroup)) as refused:
            async with mcp_client(company, "outsider", mode=mode) as session:
                await session.list_tools()
    assert _refusal(refused.value).error.data["reason"] == Reason.NO_PERMIT
    assert ledger.headers == []


@pytest.mark.parametrize(
    ("tool", "reason"),
    [("delete_all", Reason.NO_PERMIT), ("unregistered", Reason.TOOL_UNKNOWN), ("imaginary", Reason.TOOL_UNKNOWN)],
)
@pytest.mark.parametrize("mode", BOTH)
async def test_what_is_not_listed_is_not_callable(company: Company, mode: str, tool: str, reason: Reason) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode=mode) as session:
        with pytest.raises(MCPError) as refused:
            await session.call_tool(tool, {})
    assert refused.value.error.code == 1403
    assert refused.value.error.data["reason"] == reason
    assert ledger.calls == []


@pytest.mark.parametrize("mode", BOTH)
async def test_large_payments_ask_for_a_person(company: Company, mode: str) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode=mode) as session:
        paid = await session.call_tool("pay", {"amount": 1000, "to": "ACME"})
        with pytest.raises(MCPError) as refused:
            await session.call_tool("pay", {"amount": 1001, "to": "ACME"})
    assert paid.structured_content == {"paid": 1000}
    assert refused.value.error.code == 1428
    assert refused.value.error.data["reason"] == Reason.APPROVAL_REQUIRED
    assert refused.value.error.data["groups"] == ["finance-leads"]
    assert refused.value.error.data["policies"] == ["large-payments"]
    assert ledger.calls == [("pay", {"amount": 1000, "to": "ACME"})]


@pytest.mark.parametrize("mode", BOTH)
async def test_a_tools_own_error_is_its_result(company: Company, mode: str) -> None:
    async with through_gateway(company, Ledger()), mcp_client(company, mode=mode) as session:
        failed = await session.call_tool("list_entries", {"account": "petty"})
    assert failed.is_error
    assert "petty is closed" in str(failed.content)
    [outcome] = [found.outcome for found in company.records() if found.record.action == "invokeTool"]
    assert outcome is not None
    assert (outcome.ok, outcome.reason, outcome.detail) == (True, Reason.PERMITTED, "tool error")


@pytest.mark.parametrize("mode", BOTH)
async def test_progress_arrives_in_order(company: Company, mode: str) -> None:
    seen: list[tuple[float, float | None, str | None]] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))

    async with through_gateway(company, Ledger()), mcp_client(company, mode=mode) as session:
        counted = await session.call_tool("count", {"to": 3}, progress_callback=progressed)
    assert counted.structured_content == {"result": 3}
    assert seen == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]


@pytest.mark.parametrize("mode", BOTH)
async def test_progress_arrives_while_the_call_runs(company: Company, mode: str) -> None:
    ledger, begun = Ledger(), asyncio.Event()

    async def progressed(*_: Any) -> None:
        begun.set()

    async with (
        through_gateway(company, ledger),
        mcp_client(company, mode=mode) as session,
        asyncio.TaskGroup() as tasks,
    ):
        calling = tasks.create_task(session.call_tool("slow", {}, progress_callback=progressed))
        async with asyncio.timeout(10):
            await begun.wait()
        assert not calling.done()
        assert not ledger.finished.is_set()
        ledger.release.set()
    assert calling.result().structured_content == {"result": "done"}


def _refusal(error: BaseException) -> MCPError:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MCPError)
    return error
