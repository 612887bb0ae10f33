"""Subscriptions and log levels, with the official client: each list, each resource and the level is decided apart, and
no update of what may not be read comes through."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged
from mcp_types import LoggingMessageNotificationParams

from gateway.core.reasons import Reason
from tests.company import SCOPES, Company
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import META, bare, modern, post, refusal_of, through_gateway

YEAR, KEY = "file:///ledger/2026.csv", "file:///keys/signing.pem"
POLICY = """
@id("reports")
permit (principal in Group::"finance-agents", action == Action::"readResource", resource in ResourceSet::"reports");
"""
NO_LEVELS = '@id("levels") forbid (principal, action == Action::"setLogLevel", resource is McpServer);'
NO_HEARING = '@id("deaf") forbid (principal, action == Action::"subscribe", resource is McpServer);'
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    granted = [*SCOPES, "ledger/resources/read", "ledger/touch", "ledger/tell"]
    found.policies["platform/documents.cedar"] = POLICY
    ledger = found.registry["servers"]["ledger"]
    ledger["resources"] = {"file:///ledger/*": {"sets": ["reports"]}}
    for name in ("touch", "tell"):
        ledger["tools"][name] = {"risk_level": "low", "sets": ["finance-readonly"]}
    found.registry["agents"]["planner"]["scopes"] = granted
    found.settings["issuers"][0]["scope_map"]["all"] = granted
    return found


async def test_changes_are_heard(company: Company) -> None:
    async with (
        through_gateway(company, Ledger()),
        mcp_client(company, mode="2026-07-28") as session,
        asyncio.timeout(10),
        session.listen(tools_list_changed=True, resource_subscriptions=[YEAR]) as heard,
    ):
        await session.call_tool("touch", {"uri": YEAR})
        first, second = await anext(heard), await anext(heard)
    assert {type(first), type(second)} == {ResourceUpdated, ToolsListChanged}
    [found] = [found for found in company.records() if getattr(found.record, "method", "") == "subscriptions/listen"]
    assert found.record.action == "subscribe"  # type: ignore[union-attr]
    assert {policy.id for policy in found.record.policies} == {"finance-read", "reports"}  # type: ignore[union-attr]


async def test_one_resource_that_may_not_be_read_refuses_the_whole(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode="2026-07-28") as session:
        before = len(ledger.headers)
        with pytest.raises(MCPError) as refused:
            async with session.listen(resource_subscriptions=[YEAR, KEY]):
                pass
        assert len(ledger.headers) == before
    assert refused.value.error.data["reason"] == Reason.NO_PERMIT
    denied = [found.record for found in company.records() if getattr(found.record, "verdict", "") == "deny"]
    assert [(record.action, record.resource.id) for record in denied] == [("readResource", f"ledger/{KEY}")]  # type: ignore[union-attr]


async def test_nobody_hears_against_a_forbid(company: Company) -> None:
    company.policies["platform/documents.cedar"] = POLICY + NO_HEARING
    async with through_gateway(company, Ledger()), mcp_client(company, mode="2026-07-28") as session:
        with pytest.raises(MCPError) as refused:
            async with session.listen(tools_list_changed=True):
                pass
    assert refused.value.error.data["reason"] == Reason.FORBIDDEN


async def test_a_subscription_ends_with_its_token(company: Company) -> None:
    async with through_gateway(company, Ledger()):
        token = company.token(f"{company.data_url}/mcp/ledger", exp=int(time.time()) + 2)
        async with bare(company, token=token) as wire, asyncio.timeout(10):
            reply = await post(wire, modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
    assert "lease_ended" in reply.text
    assert "notifications/subscriptions/acknowledged" in reply.text


async def test_a_session_subscribes_to_what_it_may_read(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode="legacy") as session:
        await session.subscribe_resource(YEAR)
        await session.unsubscribe_resource(YEAR)
        with pytest.raises(MCPError) as refused:
            await session.subscribe_resource(KEY)
    assert refused.value.error.data["reason"] == Reason.NO_PERMIT
    assert ledger.calls == [("SubscribeRequestParams", {"uri": YEAR}), ("UnsubscribeRequestParams", {"uri": YEAR})]


@pytest.mark.parametrize("permitted", [False, True])
async def test_a_session_sets_its_log_level(company: Company, permitted: bool) -> None:
    company.policies["platform/levels.cedar"] = "" if permitted else NO_LEVELS
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_client(company, mode="legacy") as session:
        if permitted:
            await session.set_logging_level("info")
        else:
            with pytest.raises(MCPError) as refused:
                await session.set_logging_level("info")
            assert refused.value.error.data["reason"] == Reason.FORBIDDEN
    assert ledger.calls == ([("SetLevelRequestParams", {"level": "info"})] if permitted else [])


@pytest.mark.parametrize("permitted", [False, True])
async def test_a_log_level_in_a_call_is_decided_beside_it(company: Company, permitted: bool) -> None:
    company.policies["platform/levels.cedar"] = "" if permitted else NO_LEVELS
    ledger, told = Ledger(), []

    async def logged(params: LoggingMessageNotificationParams) -> None:
        told.append(params.data)

    meta: Any = {f"{META}logLevel": "info"}
    async with (
        through_gateway(company, ledger),
        mcp_client(company, mode="2026-07-28", logging_callback=logged) as session,
    ):
        if permitted:
            await session.call_tool("tell", {}, meta=meta)
            assert told == ["told"]
        else:
            with pytest.raises(MCPError) as refused:
                await session.call_tool("tell", {}, meta=meta)
            assert refused.value.error.data["reason"] == Reason.FORBIDDEN


async def test_a_kind_of_subscription_that_is_not_carried(company: Company) -> None:
    async with through_gateway(company, Ledger()), bare(company) as wire:
        reply = await post(wire, modern("subscriptions/listen", {"notifications": {"moods": True}}))
    assert refusal_of(reply) == (501, -32601, Reason.NOT_SUPPORTED_YET)
