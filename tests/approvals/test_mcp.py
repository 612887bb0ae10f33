"""MCP calls that people approve: how each revision's client is told, comes back, and what it is then told."""

import asyncio
from pathlib import Path

import pytest
from mcp.client.context import ClientRequestContext
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

    async def elicit(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        opened.append(params.url)
        return ElicitResult(action="accept")

    async with through_gateway(company, ledger), mcp_client(company, elicitation_callback=elicit) as client:
        calling = asyncio.create_task(client.call_tool("pay", LARGE))
        waiting = await people.soon()
        assert ledger.calls == []
        assert waiting["user"] == "corp|maria"
        said = await people.say("approve")
        assert (said.status_code, said.json()["state"]) == (200, "approved")
        result = await calling
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
    async with through_gateway(company, ledger), bare(company) as wire:
        first = await post(wire, call("pay", **LARGE))
        assert refusal_of(first) == (403, 1428, Reason.APPROVAL_REQUIRED)
        data = answer_of(first)["error"]["data"]
        assert data["approval_url"] == f"{people.desk.url}/approvals/{data['approval']}"
        assert data["groups"] == ["finance-leads"]
        again = asyncio.create_task(post(wire, call("pay", **LARGE)))
        assert (await people.say("approve")).status_code == 200
        assert answer_of(await again)["result"]["structuredContent"] == {"paid": 5000}
        # Each approval is good for one; the next call is a new one, and people are asked anew.
        third = await post(wire, call("pay", **LARGE))
        assert answer_of(third)["error"]["data"]["approval"] != data["approval"]
    assert ledger.calls == [("pay", LARGE)]
