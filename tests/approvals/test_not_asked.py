"""Nobody is asked to approve what approval can't permit: a tool in quarantine, scopes that nothing cures."""

from pathlib import Path

import pytest

from tests.approving import LARGE, People, approving
from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, call, post, refusal_of, through_gateway


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


async def test_of_a_call_that_no_scope_would_cure(company: Company) -> None:
    company.settings["issuers"][0]["scope_map"] = {"ledger.read_balance": ["ledger/read_balance"]}
    token = company.token(f"{company.data_url}/mcp/ledger", scope="ledger.read_balance")
    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger), bare(company, token=token) as wire:
        assert refusal_of(await post(wire, call("pay", **LARGE))) == (403, 1403, "scope_ceiling")
        assert await people.waiting() == []
    assert people.records() == []
    assert ledger.calls == []


async def test_what_a_scope_would_cure_is_asked_for_first(company: Company) -> None:
    """Then the client steps up, and the approval is there for its new token: it isn't bound to the chain's id."""
    scopes = company.registry["agents"]["planner"]["scopes"]
    company.settings["issuers"][0]["scope_map"] = {scope.replace("/", "."): [scope] for scope in scopes}

    def token(scope: str) -> str:
        return company.token(f"{company.data_url}/mcp/ledger", scope=scope)

    ledger, people = Ledger(), People(company)
    async with through_gateway(company, ledger):
        async with bare(company, token=token("ledger.read_balance")) as wire:
            assert refusal_of(await post(wire, call("pay", **LARGE)))[2] == "approval_required"
            assert (await people.say("approve")).json()["state"] == "approved"
            reply = await post(wire, call("pay", **LARGE))
            assert refusal_of(reply) == (403, 1403, "insufficient_scope")
            assert 'scope="ledger.pay"' in reply.headers["www-authenticate"]
        async with bare(company, token=token("ledger.pay")) as wire:
            assert answer_of(await post(wire, call("pay", **LARGE)))["result"]["structuredContent"] == {"paid": 5000}
    assert ledger.calls == [("pay", LARGE)]
