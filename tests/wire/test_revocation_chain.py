"""Every agent of a chain counts, and every token that is known of it: whoever is revoked, the chain stops there."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import httpx2
import jwt
import pytest

from gateway.core.audit import token_digest
from tests.company import Company
from tests.gateways import running
from tests.wire.agent import Agent, bare, refusal_of, sending
from tests.wire.delegate import ask, delegated, delegates


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@pytest.fixture
async def agents(company: Company) -> AsyncIterator[list[Agent]]:
    async with delegates(company, "planner", "analyst") as found, running(company):
        yield found


async def revoke(company: Company, **target: str) -> None:
    """In force when this returns."""
    transport = httpx2.AsyncHTTPTransport(uds=str(company.directory / "hopgate.db.admin"))
    async with httpx2.AsyncClient(base_url="http://hopgate", transport=transport, timeout=20) as http:
        made = await http.post("/api/v1/revocations", json={"target": target, "reason": "test"})
        assert made.status_code == 201, made.text


async def continued(company: Company, token: str) -> httpx.Response:
    """The analyst asks the planner within the chain that ``token`` proves."""
    async with bare(company, "analyst", "planner", token=token) as route:
        return await route.post(sending("go on"))


@pytest.mark.parametrize(
    ("target", "refusal"),
    [
        ({"kind": "agent", "agent": "planner"}, (403, 1403, "revoked")),
        ({"kind": "agent", "agent": "analyst"}, (403, 1403, "revoked")),
        ({"kind": "txn", "txn": "<txn>"}, (403, 1403, "revoked")),
        ({"kind": "token", "token": "<jti>"}, (401, 1401, "token_revoked")),
        ({"kind": "token", "token": "<digest>"}, (401, 1401, "token_revoked")),
        ({"kind": "token", "token": "<parent>"}, (401, 1401, "token_revoked")),
    ],
)
async def test_a_continuation_is_refused(
    company: Company, agents: list[Agent], target: dict[str, str], refusal: tuple[int, int, str]
) -> None:
    _, analyst = agents
    token = await delegated(company, analyst)
    claims = jwt.decode(token, options={"verify_signature": False})
    known = {
        "<txn>": claims["txn"], "<jti>": claims["jti"], "<digest>": token_digest(token), "<parent>": claims["par_hash"],
    }  # fmt: skip
    assert (await continued(company, token)).status_code == 200
    await revoke(company, **{name: known.get(value, value) for name, value in target.items()})
    refused = await continued(company, token)
    assert refusal_of(refused) == refusal
    assert ("www-authenticate" in refused.headers) == (refusal[0] == 401)


async def test_a_chain_of_others_goes_on(company: Company, agents: list[Agent]) -> None:
    token = await delegated(company, agents[1])
    await revoke(company, kind="agent", agent="auditor")
    await revoke(company, kind="token", token="another")
    assert (await continued(company, token)).status_code == 200


async def test_a_revoked_agent_is_not_asked_either(company: Company, agents: list[Agent]) -> None:
    planner, analyst = agents
    await delegated(company, analyst)
    await revoke(company, kind="attribute", attribute="group", value="finance-agents")
    assert refusal_of(await ask(company, None, "planner"))[2] == "revoked"
    assert len(analyst.texts) == 1
    assert planner.texts == []
