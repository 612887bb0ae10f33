"""MCP calls that people approve: how each revision's client is told, comes back, and what it is then told."""

import asyncio
from pathlib import Path

import pytest
from mcp import MCPError
from mcp.client.context import ClientRequestContext
from mcp.shared.exceptions import UrlElicitationRequiredError
from mcp_types import ElicitRequestParams, ElicitRequestURLParams, ElicitResult

from gateway.core.reasons import Reason
from tests.approving import LARGE, People, approving
from tests.company import Company
from tests.gateways import mcp_client
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, call, post, refusal_of, through_gateway


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return approving(tmp_path)


async def test_the_official_client_waits_and_its_call_is_carried_out_once(company: Company) -> None:
    ledger, people, opened = Ledger(), People(company), list[str]()
    company.settings["approvals"]["hold_seconds"] = 30

    async def elicit(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        opened.append(params.url)
        return ElicitResult(action="accept")

    async with through_gateway(company, ledger), mcp_client(company, elicitation_callback=elicit) as client:
        async with asyncio.TaskGroup() as tasks:
            calling = tasks.create_task(client.call_tool("pay", LARGE))
            waiting = await people.soon()
            assert ledger.calls == []
            assert waiting["user"] == "corp|maria"
            said = await people.say("approve")
            assert (said.status_code, said.json()["state"]) == (200, "approved")
        result = calling.result()
        assert result.structured_content == {"paid": 5000}
        assert ledger.calls == [("pay", LARGE)]
        shown = await people.show(waiting["id"])
    assert opened == [f"{people.desk.url}/approvals/{waiting['id']}"]
    assert (shown["state"], shown["call"]) == ("done", None)
    assert people.events() == [
        ("asked", "pending"), ("approved", "approved"), ("consumed", "consumed"), ("closed", "done"),
    ]  # fmt: skip
    [permit] = [each for each in people.decisions() if each.approval is not None]
    assert permit.approval is not None
    assert (permit.approval.id, permit.approval.groups) == (waiting["id"], ("finance-leads",))
    assert [str(each) for each in permit.approval.approvers] == ['User::"corp|ann"']
    assert permit.hop == shown["consumed_by"]


async def test_a_client_without_links_gets_1428_and_comes_again(company: Company) -> None:
    ledger, people = Ledger(), People(company)
    company.settings["approvals"]["hold_seconds"] = 30
    async with through_gateway(company, ledger), bare(company) as wire:
        first = await post(wire, call("pay", **LARGE))
        assert refusal_of(first) == (403, 1428, Reason.APPROVAL_REQUIRED)
        data = answer_of(first)["error"]["data"]
        assert data["approval_url"] == f"{people.desk.url}/approvals/{data['approval']}"
        assert data["groups"] == ["finance-leads"]
        async with asyncio.TaskGroup() as tasks:
            again = tasks.create_task(post(wire, call("pay", **LARGE)))
            assert (await people.say("approve")).status_code == 200
        assert answer_of(again.result())["result"]["structuredContent"] == {"paid": 5000}
        # Each approval is good for one; the next call is a new one, and people are asked anew.
        third = await post(wire, call("pay", **LARGE))
        assert answer_of(third)["error"]["data"]["approval"] != data["approval"]
    assert ledger.calls == [("pay", LARGE)]


async def test_a_session_that_opens_urls_gets_the_urls_error(company: Company) -> None:
    ledger, people = Ledger(), People(company)

    async def elicit(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        raise AssertionError("the gateway asks by an error")

    async with (
        through_gateway(company, ledger),
        mcp_client(company, mode="legacy", elicitation_callback=elicit) as client,
    ):
        with pytest.raises(MCPError) as refused:
            await client.call_tool("pay", LARGE)
        assert refused.value.error.code == -32042
        # As the SDK has its clients read it.
        [asked] = UrlElicitationRequiredError.from_error(refused.value.error).elicitations
        assert asked.url == f"{people.desk.url}/approvals/{asked.elicitation_id}"
        assert (await people.say("approve", approval=asked.elicitation_id)).status_code == 200
        assert (await client.call_tool("pay", LARGE)).structured_content == {"paid": 5000}
    assert ledger.calls == [("pay", LARGE)]


async def test_a_session_without_urls_gets_1428(company: Company) -> None:
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), mcp_client(company, mode="legacy") as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("pay", LARGE)
        assert (refused.value.error.code, refused.value.error.data["reason"]) == (1428, Reason.APPROVAL_REQUIRED)
        assert (await people.say("approve")).status_code == 200
        assert (await client.call_tool("pay", LARGE)).structured_content == {"paid": 5000}
    assert ledger.calls == [("pay", LARGE)]


async def test_a_refusal_ends_the_wait_and_stands_for_a_while(company: Company) -> None:
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        await post(wire, call("pay", **LARGE))
        async with asyncio.TaskGroup() as tasks:
            again = tasks.create_task(post(wire, call("pay", **LARGE)))
            said = await people.say("refuse", comment="not this month")
            assert said.json()["state"] == "refused"
        assert refusal_of(again.result()) == (403, 1403, Reason.APPROVAL_REFUSED)
        assert refusal_of(await post(wire, call("pay", **LARGE))) == (403, 1403, Reason.APPROVAL_REFUSED)
        assert await people.waiting() == []
        # Another payment is another question.
        assert refusal_of(await post(wire, call("pay", amount=5001, to="acme")))[2] == Reason.APPROVAL_REQUIRED
    assert ledger.calls == []
    assert people.records()[1].comment == "not this month"


async def test_silence_denies(tmp_path: Path) -> None:
    company = approving(tmp_path, decide_seconds=1)
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        await post(wire, call("pay", **LARGE))
        assert refusal_of(await post(wire, call("pay", **LARGE))) == (403, 1403, Reason.APPROVAL_EXPIRED)
        late = await people.say("approve", approval=people.records()[0].approval)
        assert (late.status_code, late.json()["reason"]) == (409, "conflict")
    assert ledger.calls == []


async def test_what_was_approved_is_used_in_time_or_not_at_all(tmp_path: Path) -> None:
    company = approving(tmp_path, use_seconds=1, again_seconds=0, hold_seconds=0)
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        await post(wire, call("pay", **LARGE))
        assert (await people.say("approve")).status_code == 200
        await asyncio.sleep(1.1)
        late = await post(wire, call("pay", **LARGE))
        assert refusal_of(late) == (403, 1428, Reason.APPROVAL_REQUIRED)
        assert (await people.show(people.records()[0].approval))["state"] == "expired"
    assert ledger.calls == []


async def test_the_users_no_to_the_link_calls_it_off(company: Company) -> None:
    ledger, people = Ledger(), People(company)

    async def elicit(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="decline")

    async with through_gateway(company, ledger), mcp_client(company, elicitation_callback=elicit) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("pay", LARGE)
        assert refused.value.error.data["reason"] == Reason.APPROVAL_CANCELLED
        assert await people.waiting() == []
    assert people.events() == [("asked", "pending"), ("cancelled", "cancelled")]
