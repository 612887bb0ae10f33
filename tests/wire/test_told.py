"""Where a route says so, callers are told which policies decided, by which values; elsewhere nothing of the kind."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.company import Company
from tests.wire import agent as a2a
from tests.wire.agent import asking, heard, sending
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, call, legacy, open_session, post, through_gateway
from tests.wire.test_a2a import agents

SECRET = "ES91-2100-0418"
READ_TO = """
@id("no-odd-accounts")
forbid (principal, action == Action::"invokeTool", resource == Tool::"ledger/pay")
when { context has args.ledger.pay && context.args.ledger.pay.to like "ES91*" };
"""


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.settings["routes"]["mcp"]["ledger"]["explain"] = True
    company.settings["routes"]["a2a"]["analyst"] = {"explain": True}
    return company


def told_of(answer: Any) -> dict[str, Any]:
    return dict(answer["result"]["_meta"]["hopgate/decision"])


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_permitted_call_says_what_permitted_it(company: Company, era: str) -> None:
    params = {"name": "read_balance", "arguments": {}}
    async with through_gateway(company, Ledger()), bare(company) as wire:
        session = await open_session(wire) if era == "legacy" else None
        message = legacy("tools/call", params) if session else call("read_balance")
        told = told_of(answer_of(await post(wire, message, session)))
    assert told["verdict"] == "permit"
    assert told["decision_id"] in {found.record.hop for found in company.records()}
    [policy] = told["policies"]
    assert (policy["id"], policy["tier"], policy["effect"]) == ("finance-read", "teams", "permit")
    assert policy["file"] == "teams/finance/read.cedar"
    assert policy["matched"]["principal.risk_level"] == "low"
    assert policy["matched"]["context.delegation_depth"] == 1


async def test_denials_say_by_which_values_or_what_was_missed(company: Company) -> None:
    company.policies["guardrails/accounts.cedar"] = READ_TO
    company.registry["servers"]["ledger"]["tools"]["pay"]["sensitive"] = ["to"]
    async with through_gateway(company, Ledger()), bare(company) as wire:
        forbidden = (await post(wire, call("pay", amount=5, to=SECRET))).json()["error"]["data"]
        asked = (await post(wire, call("pay", amount=5000, to="ACME"))).json()["error"]["data"]
        missed = (await post(wire, call("delete_all"))).json()["error"]["data"]
    [policy] = forbidden["decision"]["policies"]
    assert (policy["id"], policy["tier"], policy["effect"]) == ("no-odd-accounts", "guardrails", "forbid")
    assert set(policy["matched"]["context.args.ledger.pay.to"]) == {"sha256"}
    assert SECRET not in json.dumps(forbidden)
    assert (asked["decision"]["verdict"], asked["groups"]) == ("ask", ["finance-leads"])
    assert asked["decision"]["policies"][0]["matched"]["context.args.ledger.pay.amount"] == 5000
    assert "decision" not in missed
    assert missed["near_misses"][0].startswith("permit `")


async def test_without_the_setting_nothing_is_told(company: Company) -> None:
    for routes in company.settings["routes"].values():
        for route in routes.values():
            route["explain"] = False
    async with through_gateway(company, Ledger()), bare(company) as wire:
        permitted = (await post(wire, call("read_balance"))).text
        asked = (await post(wire, call("pay", amount=5000, to="ACME"))).json()["error"]["data"]
    assert "hopgate/decision" not in permitted
    assert asked["policies"] == ["large-payments"]
    assert not {"decision", "near_misses"} & asked.keys()


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_an_agents_answer_says_what_permitted_it(company: Company, streaming: bool, binding: str) -> None:
    async with agents(company, "analyst"), asking(company, "planner", streaming=streaming, binding=binding) as client:
        events = await heard(client, "hello")
    holders = [getattr(event, event.WhichOneof("payload")) for event in events]
    told = [dict(holder.metadata).get("hopgate/decision") for holder in holders]
    assert [each is not None for each in told] == [True, *(False for _ in told[1:])]
    assert [policy["id"] for policy in told[0]["policies"]] == ["delegate-overlap"]


@pytest.mark.parametrize("binding", ["jsonrpc", "http"])
async def test_an_agents_refusal_says_what_was_missed(company: Company, binding: str) -> None:
    company.policies["platform/delegate.cedar"] = """
@id("leads-ask") permit (principal is Agent, action == Action::"delegate", resource is Agent)
when { principal.environment == "staging" };
"""
    needs = 'principal.environment is "production", needs "staging"'
    async with agents(company, "analyst"), a2a.bare(company, "planner", "analyst") as route:
        if binding == "jsonrpc":
            data = (await route.post(sending("hello"))).json()["error"]["data"]
            assert data["near_misses"] == [f"permit `leads-ask` failed: {needs}"]
        else:
            body = sending("hello")["params"]
            reply = await route.http.post(f"{route.url}/message:send", json=body, headers={"A2A-Version": "1.0"})
            [info] = reply.json()["error"]["details"]
            assert json.loads(info["metadata"]["near_misses"]) == [f"permit `leads-ask` failed: {needs}"]
