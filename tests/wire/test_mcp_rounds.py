"""``input_required`` of the stateless revision: what the server asks is decided with it as the principal, and its
state comes back only from who got it, with the same call."""

from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.client.context import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult

from gateway.core.audit.record import DecisionRecord
from gateway.core.reasons import Reason
from tests.company import SCOPES, Company
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import META, answer_of, bare, call, modern, post, refusal_of, through_gateway

ASKING = '@id("asking") permit (principal == McpServer::"ledger", action == Action::"elicit", resource is Agent);'
ANSWER = {"sure": {"action": "accept", "content": {"sure": True}}}
INVALID = (400, -32602, Reason.MESSAGE_INVALID)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    granted = [*SCOPES, "ledger/confirm"]
    found.registry["servers"]["ledger"]["tools"]["confirm"] = {"risk_level": "low", "sets": ["finance-readonly"]}
    found.registry["agents"]["planner"]["scopes"] = granted
    found.registry["agents"]["analyst"] |= {"entry_point": True, "clients": ["cli"], "scopes": granted}
    found.settings["issuers"][0]["scope_map"]["all"] = granted
    found.policies["platform/asking.cedar"] = ASKING
    return found


def confirm(amount: int, **more: Any) -> dict[str, Any]:
    message = modern("tools/call", {"name": "confirm", "arguments": {"amount": amount}, **more})
    message["params"]["_meta"][f"{META}clientCapabilities"] = {"elicitation": {}}
    return message


async def elicit(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"sure": True})


async def test_the_official_client_goes_round(company: Company) -> None:
    ledger = Ledger()
    async with (
        through_gateway(company, ledger),
        mcp_client(company, mode="2026-07-28", elicitation_callback=elicit) as session,
    ):
        result = await session.call_tool("confirm", {"amount": 5})
    assert result.structured_content == {"result": "accept 5"}
    assert ledger.calls == [("confirm", {"amount": 5})]
    records = [found.record for found in company.records() if isinstance(found.record, DecisionRecord)]
    rounds = [(record.action, record.asking) for record in records if record.action in ("invokeTool", "elicit")]
    assert rounds == [("invokeTool", None), ("elicit", "ledger"), ("invokeTool", None)]
    details = [found.outcome.detail for found in company.records() if found.outcome and found.record in records]
    assert "asks for input" in details


async def test_a_question_that_may_not_be_asked_ends_the_call(company: Company) -> None:
    del company.policies["platform/asking.cedar"]
    ledger = Ledger()
    async with (
        through_gateway(company, ledger),
        mcp_client(company, mode="2026-07-28", elicitation_callback=elicit) as session,
    ):
        with pytest.raises(MCPError) as refused:
            await session.call_tool("confirm", {"amount": 5})
    assert refused.value.error.data["reason"] == Reason.NO_PERMIT
    assert ledger.calls == []
    call = next(found for found in company.records() if getattr(found.record, "action", "") == "invokeTool")
    assert call.outcome is not None
    assert (call.outcome.ok, call.outcome.reason) == (False, Reason.NO_PERMIT)


async def test_the_state_is_its_callers_for_this_call_alone(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire, bare(company, "analyst") as other:
        asked = answer_of(await post(wire, confirm(5)))["result"]
        state = asked["requestState"]
        again = {"inputResponses": ANSWER, "requestState": state}
        assert asked["inputRequests"]["sure"]["method"] == "elicitation/create"
        before = len(ledger.headers)
        assert refusal_of(await post(wire, confirm(6, **again))) == INVALID, "other arguments"
        assert refusal_of(await post(other, confirm(5, **again))) == INVALID, "another agent"
        forged = state[:-2] + ("AA" if state[-2:] != "AA" else "BB")
        assert refusal_of(await post(wire, confirm(5, inputResponses=ANSWER, requestState=forged))) == INVALID
        assert refusal_of(await post(wire, confirm(5, requestState="amount 5"))) == INVALID, "the server's own"
        read = modern("tools/call", {"name": "read_balance", "arguments": {"amount": 5}, **again})
        assert refusal_of(await post(wire, read)) == INVALID, "another tool"
        assert len(ledger.headers) == before
        done = answer_of(await post(wire, confirm(5, **again)))
    assert done["result"]["structuredContent"] == {"result": "accept 5"}
    assert ledger.calls == [("confirm", {"amount": 5})]


async def test_a_client_is_not_asked_for_what_it_did_not_declare(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        reply = await post(wire, call("confirm", amount=5))
    assert refusal_of(reply) == (400, -32021, Reason.CAPABILITY_MISSING)
    assert answer_of(reply)["error"]["data"]["requiredCapabilities"] == {"elicitation": {"form": {}}}
    assert "requestState" not in reply.text
    records = [found for found in company.records() if isinstance(found.record, DecisionRecord)]
    assert [found.record.action for found in records] == ["invokeTool"], "nobody was asked, so nothing was decided"
    assert records[0].outcome is not None
    assert (records[0].outcome.ok, records[0].outcome.reason) == (False, Reason.CAPABILITY_MISSING)


async def test_the_official_client_without_callbacks_is_told_what_it_lacks(company: Company) -> None:
    async with through_gateway(company, Ledger()), mcp_client(company, mode="2026-07-28") as session:
        with pytest.raises(MCPError) as refused:
            await session.call_tool("confirm", {"amount": 5})
    assert refused.value.error.code == -32021
