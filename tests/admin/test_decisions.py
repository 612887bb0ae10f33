"""``/api/v1/decisions`` says what ``hopgate audit`` says, page by page."""

from collections.abc import AsyncIterator

import pytest

from tests.admin.conftest import Desk
from tests.admin.test_access import refusal_of
from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, through_gateway

PATH = "/api/v1/decisions"


@pytest.fixture
async def desk(company: Company) -> AsyncIterator[Desk]:
    async with through_gateway(company, Ledger()):
        async with bare(company) as wire:
            for tool in ("read_balance", "read_balance", "delete_all"):
                await post(wire, call(tool))
        yield Desk(company)


async def test_filters_are_those_of_the_command(desk: Desk) -> None:
    last = desk.company.records()[-1].record
    async with desk.person("auditor") as http:
        for query, count in (
            ({}, 3),
            ({"agent": "planner", "user": "corp|maria"}, 3),
            ({"agent": "nobody"}, 0),
            ({"verdict": "permit"}, 2),
            ({"policy": "finance-read"}, 2),
            ({"resource": 'Tool::"ledger/read_balance"'}, 2),
            ({"resource": "ledger/delete_all", "action": "invokeTool"}, 1),
            ({"since": str(last.at + 1)}, 0),
            ({"until": str(last.at + 1)}, 3),
            ({"trace_id": last.trace_id}, 1),
        ):
            found = await http.get(PATH, params=query)
            assert found.status_code == 200, found.text
            assert len(found.json()["decisions"]) == count, query


async def test_pages_go_on_where_the_former_ended(desk: Desk) -> None:
    async with desk.person("auditor") as http:
        first = (await http.get(PATH, params={"limit": 2})).json()
        second = (await http.get(PATH, params={"limit": 2, "cursor": first["next"]})).json()
        assert second["next"] is None
        seen = [found["record"]["id"] for page in (first, second) for found in page["decisions"]]
        assert seen == [found.record.id for found in desk.company.records()[::-1]]
        other = await http.get(PATH, params={"limit": 2, "agent": "planner", "cursor": first["next"]})
        assert refusal_of(other) == (400, "message_invalid")


async def test_one_decision_and_its_chain(desk: Desk) -> None:
    wanted = desk.company.records()[0].record
    async with desk.person("auditor") as http:
        found = (await http.get(f"{PATH}/{wanted.id}")).json()
        assert found["decision"]["record"]["id"] == wanted.id
        assert found["decision"]["outcome"]["ok"] is True
        assert wanted.id in [node["record"]["id"] for node in found["chain"]]
        assert refusal_of(await http.get(f"{PATH}/unknown")) == (404, "not_found")
