"""Nobody is asked to approve what approval can't permit: a tool in quarantine, scopes that the chain lacks."""

from pathlib import Path

import pytest

from tests.approving import LARGE, People, approving
from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, refusal_of, through_gateway


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return approving(tmp_path, hold_seconds=0)


async def test_of_a_tool_in_quarantine(company: Company) -> None:
    company.settings["tools"] = {"pins": "registry"}
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company) as wire:
        assert refusal_of(await post(wire, call("pay", **LARGE)))[2] == "tool_quarantined"
        assert await people.waiting() == []
    assert people.records() == []
    assert ledger.calls == []


async def test_of_a_call_that_the_chain_has_no_scope_for(company: Company) -> None:
    scopes = company.registry["agents"]["planner"]["scopes"]
    company.settings["issuers"][0]["scope_map"] = {scope.replace("/", "."): [scope] for scope in scopes}
    token = company.token(f"{company.data_url}/mcp/ledger", scope="ledger.read_balance")
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company, token=token) as wire:
        reply = await post(wire, call("pay", **LARGE))
        assert refusal_of(reply) == (403, 1403, "insufficient_scope")
        assert 'scope="ledger.pay"' in reply.headers["www-authenticate"]
        assert await people.waiting() == []
    assert people.records() == []
    assert ledger.calls == []
