"""Attack 30, continued: whoever presents a root token after another is refused and noticed, unless both share it."""

import re
from pathlib import Path

import aiohttp
import httpx2
import pytest

from gateway.core.audit import DecisionRecord
from gateway.core.reasons import Reason
from tests.company import Company
from tests.gateways import running
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, record_of, refusal_of, through_gateway

READ = call("read_balance")


@pytest.fixture
def company(tmp_path: Path) -> Company:
    """Three agents that may begin chains with tokens of Maria's client."""
    found = Company(tmp_path)
    for name in ("analyst", "auditor"):
        found.registry["agents"][name] |= {"entry_point": True, "clients": ["cli"], "risk_level": "low"}
    return found


async def read(company: Company, agent: str, token: str) -> httpx2.Response:
    async with bare(company, agent, token=token) as wire:
        return await post(wire, READ)


def txns(company: Company) -> list[tuple[str, str]]:
    """Entry agent and ``txn`` of each call that was decided."""
    records = [each.record for each in company.records()]
    return [(record.chain.agents[0], record.chain.txn) for record in records if isinstance(record, DecisionRecord)]


async def alerts(company: Company) -> float:
    async with aiohttp.request("GET", f"http://127.0.0.1:{company.health_port}/metrics") as answer:
        found = re.search(
            r'^hopgate_alerts_total\{reason="root_token_bound"\} (\S+)$', await answer.text(), re.MULTILINE
        )
    return float(found[1]) if found else 0.0


async def test_a_second_presenter_is_an_alert(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    root = company.token(f"{company.data_url}/mcp/ledger")
    async with through_gateway(company, Ledger()):
        assert (await read(company, "planner", root)).status_code == 200
        assert await alerts(company) == 0
        reply = await read(company, "analyst", root)
        assert await alerts(company) == 1
    assert refusal_of(reply) == (403, 1403, Reason.ROOT_TOKEN_BOUND)
    [line] = [line for line in capsys.readouterr().err.splitlines() if '"alert"' in line]
    for part in (
        "agent:analyst",
        "agent:planner",
        txns(company)[0][1],
        record_of(company, reply).record.hop,
        "warning",
    ):
        assert part in line
    assert root not in line


async def test_agents_that_share_a_token_begin_a_chain_each(company: Company) -> None:
    company.settings["issuers"][0]["shared_by"] = ["planner", "analyst"]
    root = company.token(f"{company.data_url}/mcp/ledger")
    async with through_gateway(company, Ledger()):
        for agent in ("planner", "analyst", "planner", "analyst"):
            assert (await read(company, agent, root)).status_code == 200
        assert refusal_of(await read(company, "auditor", root)) == (403, 1403, Reason.ROOT_TOKEN_BOUND)
        assert await alerts(company) == 1
    found = txns(company)
    assert [agent for agent, _ in found] == ["planner", "analyst", "planner", "analyst"]
    assert found[:2] == found[2:]
    assert found[0][1] != found[1][1]


async def test_the_token_of_a_stranger_is_shared_with_nobody(company: Company) -> None:
    company.settings["issuers"][0]["shared_by"] = ["planner", "analyst"]
    root = company.token(f"{company.data_url}/mcp/ledger")
    async with through_gateway(company, Ledger()):
        assert (await read(company, "auditor", root)).status_code == 200
        for agent in ("planner", "analyst"):
            assert refusal_of(await read(company, agent, root)) == (403, 1403, Reason.ROOT_TOKEN_BOUND)


async def test_who_is_listed_no_more_shares_no_more(company: Company) -> None:
    company.settings["issuers"][0]["shared_by"] = ["planner", "analyst"]
    root, ledger = company.token(f"{company.data_url}/mcp/ledger"), Ledger()
    async with through_gateway(company, ledger):
        for agent in ("planner", "analyst"):
            assert (await read(company, agent, root)).status_code == 200
    company.settings["issuers"][0]["shared_by"] = []
    async with running(company):
        assert refusal_of(await read(company, "analyst", root)) == (403, 1403, Reason.ROOT_TOKEN_BOUND)
