"""Attack 8: making the gateway, or a stronger agent, act with a power that the caller's chain doesn't have.

A call needs the user, the agent and every agent before it; each alone is taken away here while the others have it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.core.audit import DecisionRecord
from gateway.core.reasons import Reason
from tests.company import SCOPES, Company
from tests.wire.delegate import ask, delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, refusal_of, through_gateway

PAY, READ = call("pay", amount=5, to="ACME"), call("read_balance")
WITHOUT_PAY = [scope for scope in SCOPES if scope != "ledger/pay"]
TRUSTED = 'principal is Agent, action == Action::"invokeTool", resource is Tool'


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


async def paid(company: Company, ledger: Ledger, *, scope: str = "all") -> tuple[int, int, str]:
    """Planner asks analyst, analyst pays; how that ended."""
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        token = company.token(f"{company.data_url}/a2a/analyst", scope=scope)
        held = await delegated(company, analyst, token=token)
        async with bare(company, "analyst", token=held) as wire:
            reply = await post(wire, PAY)
    return (200, 0, Reason.PERMITTED) if reply.status_code == 200 else refusal_of(reply)


async def test_all_three_together_may(company: Company) -> None:
    ledger = Ledger()
    assert await paid(company, ledger) == (200, 0, Reason.PERMITTED)
    assert ledger.calls == [("pay", {"amount": 5, "to": "ACME"})]


async def test_not_without_the_user(company: Company) -> None:
    company.settings["issuers"][0]["scope_map"]["delegating"] = ["analyst/delegate", "ledger/read_balance"]
    ledger = Ledger()
    assert await paid(company, ledger, scope="delegating") == (403, 1403, Reason.SCOPE_CEILING)
    assert ledger.calls == []


async def test_not_without_the_agent(company: Company) -> None:
    company.registry["agents"]["analyst"]["scopes"] = WITHOUT_PAY
    ledger = Ledger()
    assert await paid(company, ledger) == (403, 1403, Reason.SCOPE_CEILING)
    assert ledger.calls == []


async def test_not_without_the_rest_of_the_chain(company: Company) -> None:
    company.registry["agents"]["planner"]["scopes"] = WITHOUT_PAY
    ledger = Ledger()
    assert await paid(company, ledger) == (403, 1403, Reason.SCOPE_CEILING)
    assert ledger.calls == []


@pytest.mark.parametrize("change", [{"roles": ["clerk"]}, {"roles": None}, {"sub": "pablo", "roles": []}])
async def test_policy_sees_the_user_behind_the_last_agent(company: Company, change: Mapping[str, Any]) -> None:
    company.policies["platform/people.cedar"] = f"""
@id("people") forbid ({TRUSTED}) unless {{ context has user && context.user.roles.contains("cfo") }};
"""
    ledger = Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        replies = []
        for claims in ({}, change):
            token = company.token(f"{company.data_url}/a2a/analyst", **claims)
            held = await delegated(company, analyst, token=token)
            async with bare(company, "analyst", token=held) as wire:
                replies.append(await post(wire, READ))
    assert replies[0].status_code == 200
    assert refusal_of(replies[1]) == (403, 1403, Reason.FORBIDDEN)
    assert len(ledger.calls) == 1


async def test_policy_sees_every_agent_behind_the_last(company: Company) -> None:
    company.policies["platform/risk.cedar"] = f'@id("risk") forbid ({TRUSTED}) when {{ context.chain_max_risk > 1 }};'
    company.registry["agents"]["auditor"] |= {"entry_point": True, "clients": ["cli"]}
    ledger = Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        for caller, expected in (("planner", 200), ("auditor", 403)):
            held = await delegated(company, analyst, caller=caller)
            async with bare(company, "analyst", token=held) as wire:
                reply = await post(wire, READ)
            assert reply.status_code == expected, caller
    assert refusal_of(reply) == (403, 1403, Reason.FORBIDDEN)
    record = company.records()[-1].record
    assert isinstance(record, DecisionRecord)
    assert ([policy.id for policy in record.policies], record.chain.agents) == (["risk"], ("auditor", "analyst"))
    assert len(ledger.calls) == 1


async def test_an_agent_alone_has_not_the_users_power(company: Company) -> None:
    """A job without a user can do only what the agent itself was granted, whatever policy would permit."""
    company.registry["agents"]["cron"]["scopes"] = ["ledger/read_balance"]
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company, "cron", token=None) as wire:
        assert (await post(wire, READ)).status_code == 200
        assert refusal_of(await post(wire, PAY)) == (403, 1403, Reason.SCOPE_CEILING)
    assert [name for name, _ in ledger.calls] == ["read_balance"]


async def test_the_gateways_own_power_is_nobodys(company: Company) -> None:
    """The ledger takes anything from the gateway's certificate; an agent with no grant gets nothing by it."""
    company.registry["agents"]["planner"]["scopes"] = []
    ledger = Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        async with bare(company) as wire:
            assert refusal_of(await post(wire, READ)) == (403, 1403, Reason.SCOPE_CEILING)
        assert (await ask(company, "planner", "analyst")).status_code == 403
    assert (ledger.calls, analyst.headers) == ([], [])
