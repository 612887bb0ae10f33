"""The official SDKs on both ends of every hop: a person's A2A client, two A2A agents, and an MCP ledger.

Each hop arrives with a token of its own that names who acts for whom; a refusal three hops down is told all the way up.
"""

import itertools

import httpx
import jwt
import pytest
from a2a.client import ClientConfig, create_client

from demo.agents.conversation import Answer, question, read_answer
from demo.refusal import RefusedError, refusals
from gateway.store.query import AuditReader, Filters
from tests.company import Company
from tests.gateways import asgi, mcp_client, running, served
from tests.wire.ledger import Ledger

PLANNER, ANALYST = "spiffe://demo.test/agent/planner", "spiffe://demo.test/agent/analyst"


async def maria_asks(company: Company, text: str, heard: list[str] | None = None) -> Answer:
    url = f"{company.public_url}/a2a/planner"
    headers = {"Authorization": f"Bearer {company.token(url)}"}
    async with httpx.AsyncClient(verify=company.anyone(), headers=headers, timeout=20, trust_env=False) as http:
        with refusals("maria → planner"):
            client = await create_client(url, ClientConfig(httpx_client=http))
            return await read_answer(client.send_message(question(text)), (heard if heard is not None else []).append)


def claims(authorization: str) -> dict[str, object]:
    return jwt.decode(authorization.removeprefix("Bearer "), options={"verify_signature": False})


async def test_three_hops_through_a_gateway_of_its_own_process(company: Company, agents) -> None:
    ledger, heard = Ledger(), list[str]()
    async with (
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        agents() as asked,
        served(company.write()),
    ):
        answer = await maria_asks(company, "balance of payroll", heard)
    assert (answer.text, answer.facts) == ("done", {"account": "payroll", "balance": 128150})
    assert heard == ["planner asks the analyst"]
    tokens = [
        claims(asked["planner"][0].carried["authorization"]),
        claims(asked["analyst"][0].carried["authorization"]),
        claims(ledger.headers[-1]["authorization"]),
    ]
    assert [token["aud"] for token in tokens] == [
        f"{company.data_url}/{path}" for path in ("a2a/planner", "a2a/analyst", "mcp/ledger")
    ]
    assert [token["del_depth"] for token in tokens] == [0, 1, 2]
    assert [token.get("act") for token in tokens] == [
        None,
        {"sub": PLANNER},
        {"sub": ANALYST, "act": {"sub": PLANNER}},
    ]
    assert {token["sub"] for token in tokens} == {"corp|maria"}
    assert len({token["txn"] for token in tokens}) == 1
    for nearer, farther in itertools.pairwise(str(token["del_scope"]).split() for token in tokens[:2]):
        assert set(farther) <= set(nearer)


async def test_a_refusal_three_hops_down_is_told_all_the_way_up(company: Company, agents) -> None:
    ledger = Ledger()
    async with (
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        agents(),
        running(company),
    ):
        answer = await maria_asks(company, "pay 5000 to Builders")
        records = AuditReader(f"sqlite:///{company.directory}/hopgate.db").query(Filters(verdict="ask")).found
    assert answer.refusal is not None
    assert (answer.refusal.hop, answer.refusal.reason) == ("analyst → ledger", "approval_required")
    assert [found.record.hop for found in records] == [answer.refusal.decision_id]
    assert ledger.calls == []


async def test_a_person_reaches_the_planner_alone(company: Company, agents) -> None:
    url = f"{company.public_url}/a2a/analyst"
    headers = {"Authorization": f"Bearer {company.token(url)}"}
    async with (
        agents() as asked,
        running(company),
        httpx.AsyncClient(verify=company.anyone(), headers=headers, trust_env=False) as http,
    ):
        with pytest.raises(RefusedError) as refused, refusals("maria → analyst"):
            await create_client(url, ClientConfig(httpx_client=http))
    assert refused.value.refusal.reason == "entry_point_required"
    assert asked["analyst"] == []


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_an_mcp_client_of_either_era_is_served_by_the_process(company: Company, mode: str) -> None:
    ledger = Ledger()
    async with (
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        served(company.write()),
        mcp_client(company, mode=mode) as client,
    ):
        shown = {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("read_balance", {"account": "payroll"})
    assert {"read_balance", "pay"} <= shown
    assert "delete_all" not in shown
    assert result.structured_content == {"account": "payroll", "balance": 128150}
