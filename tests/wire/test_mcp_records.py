"""What is kept of each MCP call: who, for whom, which policy, what it read, how it ended; and never a secret."""

import asyncio
from pathlib import Path

import pytest

from gateway.core.audit import DecisionRecord, RefusedRecord
from gateway.core.reasons import Reason
from tests.company import Company
from tests.wire.delegate import delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, legacy, open_session, post, record_of, through_gateway

READ = call("read_balance", account="a-private-account")


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


async def test_a_permitted_call_is_recorded_with_its_policy_and_outcome(company: Company) -> None:
    async with through_gateway(company, Ledger()), bare(company) as wire:
        assert (await post(wire, READ)).status_code == 200
    [found] = company.records()
    record, outcome = found.record, found.outcome
    assert isinstance(record, DecisionRecord)
    assert (record.verdict, record.reason) == ("permit", Reason.PERMITTED)
    assert (record.protocol, record.route, record.method, record.action) == (
        "mcp",
        "ledger",
        "tools/call",
        "invokeTool",
    )
    assert (str(record.resource), record.target) == ('Tool::"ledger/read_balance"', "read_balance")
    assert record.user == "corp|maria"
    assert record.agent is not None
    assert (record.agent.name, record.agent.spiffe_id) == ("planner", "spiffe://demo.test/agent/planner")
    assert (record.agent.owner, record.agent.owner_name, record.agent.team) == ("corp|maria", "Maria López", "finance")
    [policy] = record.policies
    assert (policy.id, policy.tier, policy.effect, policy.file) == (
        "finance-read",
        "teams",
        "permit",
        "teams/finance/read.cedar",
    )
    matched = {match.path: bytes(match.value) for match in policy.matched}
    assert matched["principal.risk_level"] == b'"low"'
    assert matched["context.delegation_depth"] == b"1"
    assert (record.chain.agents, record.chain.depth, record.chain.root) == (("planner",), 1, True)
    assert record.arguments_digest is not None
    assert bytes(record.arguments) == b"null"
    assert outcome is not None
    assert (outcome.ok, outcome.reason, outcome.status) == (True, Reason.PERMITTED, 200)
    assert outcome.bytes_out > 0


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_every_request_of_a_client_is_recorded_once(company: Company, era: str) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        session = await open_session(wire) if era == "legacy" else None
        message = legacy("tools/call", {"name": "read_balance", "arguments": {}}) if session else READ
        for _ in range(3):
            assert (await post(wire, message, session)).status_code == 200
    found = company.records()
    assert len(found) == len(ledger.headers) == (5 if era == "legacy" else 3)
    assert all(isinstance(one.record, DecisionRecord) and one.outcome is not None and one.outcome.ok for one in found)


async def test_denials_and_questions_are_recorded_without_an_outcome(company: Company) -> None:
    async with through_gateway(company, Ledger()), bare(company) as wire:
        denied = record_of(company, await post(wire, call("delete_all")))
        asked = record_of(company, await post(wire, call("pay", amount=5000, to="ACME")))
        refused = record_of(company, await post(wire, call("read_balance"), {"Mcp-Name": "pay"}))
    assert isinstance(denied.record, DecisionRecord)
    assert (denied.record.verdict, denied.record.reason, denied.outcome) == ("deny", Reason.NO_PERMIT, None)
    assert denied.record.minted is None
    assert isinstance(asked.record, DecisionRecord)
    assert (asked.record.verdict, asked.record.groups, asked.outcome) == ("ask", ("finance-leads",), None)
    [policy] = asked.record.policies
    assert (policy.id, policy.effect, policy.approval) == ("large-payments", "forbid", "finance-leads")
    assert asked.record.minted is None
    assert isinstance(refused.record, RefusedRecord)
    assert (refused.record.reason, refused.record.user, refused.outcome) == (Reason.HEADER_MISMATCH, "corp|maria", None)


async def test_a_chain_is_recorded_as_one(company: Company) -> None:
    async with delegates(company, "analyst") as [analyst], through_gateway(company, Ledger()):
        held = await delegated(company, analyst)
        async with bare(company, "analyst", token=held) as wire:
            assert (await post(wire, READ)).status_code == 200
    first, second = (found.record for found in company.records())
    assert isinstance(first, DecisionRecord)
    assert isinstance(second, DecisionRecord)
    assert first.minted is not None
    assert second.chain.parent == first.minted.digest
    assert (second.chain.txn, second.chain.root) == (first.chain.txn, False)
    assert (second.chain.agents, second.user) == (("planner", "analyst"), "corp|maria")
    assert second.trace_id


async def test_nothing_secret_is_stored_or_logged(company: Company, capfd: pytest.CaptureFixture[str]) -> None:
    company.settings["telemetry"] = {"log_level": "debug"}
    ledger, url = Ledger(), f"{company.data_url}/mcp/ledger"
    root, expired, cookie = company.token(url), company.token(url, exp=1), "session=a-cookie-of-the-caller"
    public = company.token(f"{company.public_url}/mcp/ledger", sub=None)
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        async with bare(company, token=root) as wire:
            session = await open_session(wire)
            for message, headers in (
                (READ, {"Cookie": cookie}),
                (call("delete_all"), {}),
                (call("read_balance"), {"Mcp-Name": "pay"}),
                (legacy("tools/call", {"name": "read_balance", "arguments": {}}), session),
                (legacy("ping"), {**session, "Mcp-Session-Id": f"{session['Mcp-Session-Id']}A"}),
            ):
                await post(wire, message, headers)
        held = await delegated(company, analyst)
        for agent, token in (("planner", expired), ("analyst", held), ("auditor", held), (None, public)):
            async with bare(company, agent, token=token) as wire:
                await post(wire, READ)
    minted = [headers["authorization"].removeprefix("Bearer ") for headers in ledger.headers]
    tokens = [root, expired, public, held, *minted]
    secrets = [part for token in tokens for part in (token, token.split(".")[2])]
    secrets += [cookie, str(session["Mcp-Session-Id"]), *ledger.sessions, "a-private-account"]
    stored = b"".join(file.read_bytes() for file in company.directory.glob("hopgate*") if "sealing" not in file.name)
    logged = "".join(capfd.readouterr())
    for found in company.records():
        assert found.record.hop.encode() in stored, "this is where records are"
    assert Reason.TOKEN_CLAIMS in logged, "the anonymous caller's bad token was logged"
    for secret in secrets:
        assert secret.encode() not in stored
        assert secret not in logged


async def test_the_decision_can_be_read_while_the_call_runs(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire, asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(post(wire, call("slow")))
        async with asyncio.timeout(10):
            await ledger.started.wait()
        [running] = company.records()
        ledger.release.set()
    assert calling.result().status_code == 200
    assert isinstance(running.record, DecisionRecord)
    assert (running.record.verdict, running.record.target, running.outcome) == ("permit", "slow", None)
