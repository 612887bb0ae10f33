"""What an approval is good for when the call is made again: that call, on the policies of then, once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.core.audit import OutcomeRecord, decode
from gateway.core.reasons import Reason
from gateway.store.query import AuditReader
from tests.approving import LARGE, People, approving
from tests.company import Company
from tests.gateways import running
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import META, Message, Wire, answer_of, bare, call, post, refusal_of, through_gateway
from tests.wire.test_faults_store import locked
from tests.wire.test_reload import generation, until

ONLY_THE_CFO = """
@id("only-the-cfo")
forbid (principal, action == Action::"invokeTool", resource in ToolSet::"payments")
when { !context.approvers.isEmpty() && !context.approvers.contains(User::"corp|cfo") };
"""
FROZEN = """
@id("frozen")
forbid (principal, action == Action::"invokeTool", resource in ToolSet::"payments");
"""
ALSO_RISK = """
@id("also-risk") @approval("finance")
forbid (principal, action == Action::"invokeTool", resource in ToolSet::"payments") unless { context.approved };
"""


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return approving(tmp_path, hold_seconds=0)


def opening(message: Message) -> Message:
    """The call of a client that opens URLs."""
    message["params"]["_meta"][f"{META}clientCapabilities"] = {"elicitation": {"url": {}}}
    return message


async def approved(people: People, wire: Wire, who: str = "ann") -> str:
    """A payment of Maria's that was asked for and approved; the approval's id."""
    await post(wire, call("pay", **LARGE))
    said = await people.say("approve", who)
    assert said.json()["state"] == "approved", said.text
    return str(said.json()["id"])


async def test_a_retry_under_another_root_token_is_the_same_call(company: Company) -> None:
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger):
        async with bare(company) as wire:
            await approved(people, wire)
        async with bare(company) as wire:
            assert answer_of(await post(wire, call("pay", **LARGE)))["result"]["structuredContent"] == {"paid": 5000}
    first, last = [each for each in people.decisions() if each.action == "invokeTool"]
    assert first.chain.txn != last.chain.txn
    assert ledger.calls == [("pay", LARGE)]


async def test_a_state_is_good_for_its_caller_and_call_and_once(company: Company) -> None:
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire, bare(company, "cron", token=None) as other:
        asked = answer_of(await post(wire, opening(call("pay", **LARGE))))["result"]
        assert asked["inputRequests"]["hopgate-approval"]["params"]["mode"] == "url"
        state = asked["requestState"]

        def again(state: str, **arguments: Any) -> Message:
            message = opening(call("pay", **arguments))
            message["params"] |= {
                "requestState": state, "inputResponses": {"hopgate-approval": {"action": "accept"}},
            }  # fmt: skip
            return message

        still = answer_of(await post(wire, again(state, **LARGE)))["result"]
        assert (still["resultType"], "inputRequests" in still) == ("input_required", False)
        assert (await people.say("approve")).status_code == 200
        forged = state[:-4] + ("AAAA" if not state.endswith("AAAA") else "BBBB")
        for wrong, there in ((again(forged, **LARGE), wire), (again(state, amount=5001, to="acme"), wire),
                             (again(state, **LARGE), other)):  # fmt: skip
            assert refusal_of(await post(there, wrong))[2] == Reason.MESSAGE_INVALID
        assert ledger.calls == []
        assert "result" in answer_of(await post(wire, again(state, **LARGE)))
        assert b"hopgate-approval" not in ledger.bodies[-1]
        assert refusal_of(await post(wire, again(state, **LARGE)))[2] == Reason.APPROVAL_SPENT
    assert ledger.calls == [("pay", LARGE)]


async def test_of_many_at_once_one_is_carried_out(company: Company) -> None:
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        await approved(people, wire)
        answers = await asyncio.gather(*(post(wire, call("pay", **LARGE)) for _ in range(8)))
        done = [each for each in answers if "result" in answer_of(each)]
        assert len(done) == 1
        others = {refusal_of(each)[2] for each in answers if each not in done}
        assert others <= {Reason.APPROVAL_SPENT, Reason.APPROVAL_REQUIRED}
    assert ledger.calls == [("pay", LARGE)]


async def test_who_approved_counts_where_a_guardrail_says_so(company: Company) -> None:
    company.policies["guardrails/cfo.cedar"] = ONLY_THE_CFO
    company.registry["people"]["corp|cfo"] = company.registry["people"]["corp|maria"] | {"name": "Carla"}
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        name = await approved(people, wire)
        denied = await post(wire, call("pay", **LARGE))
        assert refusal_of(denied) == (403, 1403, Reason.FORBIDDEN)
        assert answer_of(denied)["error"]["data"]["policies"] == ["only-the-cfo"]
        # Denied by policy, it was not used.
        assert (await people.show(name))["state"] == "approved"
        async with people.desk.override() as http:
            await http.post(f"/api/v1/approvals/{name}/cancel", json={})
        await approved(people, wire, "cfo")
        assert "result" in answer_of(await post(wire, call("pay", **LARGE)))


async def test_the_policies_of_the_moment_decide(company: Company) -> None:
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        name = await approved(people, wire)
        company.policies["guardrails/frozen.cedar"] = FROZEN
        company.write()
        await until(company, generation(2))
        assert refusal_of(await post(wire, call("pay", **LARGE)))[2] == Reason.FORBIDDEN
        assert ledger.calls.count(("pay", LARGE)) == 0
        assert (await people.show(name))["state"] == "approved"


async def test_another_group_needed_meanwhile_is_asked_too(company: Company) -> None:
    company.registry["agents"]["cron"]["groups"] = ["finance-agents", "finance-leads", "finance"]
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        await approved(people, wire)
        company.policies["platform/risk.cedar"] = ALSO_RISK
        company.write()
        await until(company, generation(2))
        asked = answer_of(await post(wire, call("pay", **LARGE)))["error"]["data"]
        assert asked["groups"] == ["finance", "finance-leads"]
        assert (await people.show(asked["approval"]))["state"] == "pending"
    assert ledger.calls.count(("pay", LARGE)) == 0


async def test_what_never_reached_the_upstream_is_given_back(company: Company) -> None:
    ledger, people = Ledger(), People(company)
    async with running(company), bare(company) as wire:
        name = await approved(people, wire)
        assert refusal_of(await post(wire, call("pay", **LARGE)))[2] == Reason.UPSTREAM_UNREACHABLE
        assert (await people.show(name))["state"] == "approved"
    async with through_gateway(company, ledger), bare(company) as wire:
        assert "result" in answer_of(await post(wire, call("pay", **LARGE)))
    assert ledger.calls == [("pay", LARGE)]
    assert ("released", "approved") in people.events()


async def test_without_the_store_nothing_is_asked_used_or_decided(company: Company) -> None:
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        name = await approved(people, wire)
        await post(wire, call("pay", amount=7000, to="x"))
        async with locked(company.directory / "hopgate.db"):
            for amount in (5000, 7000, 8000):
                refused = await post(wire, call("pay", amount=amount, to="acme"))
                assert refusal_of(refused)[::2] == (503, Reason.STORE_UNAVAILABLE)
            async with people.one("ann") as http:
                assert (await http.post(f"/api/v1/approvals/{name}/approve", json={})).status_code == 503
                assert (await http.get("/api/v1/approvals")).status_code == 503
        assert ledger.calls == []
        assert "result" in answer_of(await post(wire, call("pay", **LARGE)))


async def test_limits(tmp_path: Path) -> None:
    company = approving(tmp_path, hold_seconds=0, pending_per_caller=2, argument_bytes=256)
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        for amount in (5000, 6000):
            assert refusal_of(await post(wire, call("pay", amount=amount, to="a")))[2] == Reason.APPROVAL_REQUIRED
        assert refusal_of(await post(wire, call("pay", amount=7000, to="a")))[::2] == (429, Reason.APPROVAL_LIMIT)
        long = await post(wire, call("pay", amount=5000, to="a" * 300))
        assert refusal_of(long) == (403, 1428, Reason.APPROVAL_REQUIRED)
        assert "approval" not in answer_of(long)["error"]["data"]
        assert len(await people.waiting()) == 2


async def test_nothing_secret_is_kept(company: Company) -> None:
    people = People(company)
    async with running(company), bare(company) as wire:
        await post(wire, call("pay", amount=5000, to="a-very-private-account"))
        await people.say("refuse")
        await post(wire, call("pay", amount=5001, to="a-very-private-account"))
    kept = b"".join(file.read_bytes() for file in company.directory.glob("hopgate*db*") if file.is_file())
    assert b"a-very-private-account" not in kept
    outcomes = [decode(row.payload) for row in AuditReader(company.store_url).rows()]
    assert not [each for each in outcomes if isinstance(each, OutcomeRecord)]
