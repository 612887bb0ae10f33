"""The agent card as the gateway publishes it: the agent's, at the gateway's address, with the gateway's signature."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.utils.signing import InvalidSignaturesError, create_agent_card_signer, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from jwt.api_jwk import PyJWK

from gateway.app import PartError
from tests.company import Company
from tests.gateways import asgi, running
from tests.wire.agent import Agent, bare, refusal_of


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@asynccontextmanager
async def behind_gateway(agent: Agent) -> AsyncIterator[None]:
    company = agent.company
    served = asgi(agent.application, company, f"agent/{agent.name}", company.upstreams[agent.name])
    async with served, running(company):
        yield


@pytest.mark.parametrize(("caller", "target"), [("planner", "analyst"), (None, "planner"), ("cron", "planner")])
async def test_the_card_leads_to_the_gateway_and_nowhere_else(
    company: Company, caller: str | None, target: str
) -> None:
    company.registry["agents"]["cron"]["clients"] = ["cli"]
    async with behind_gateway(Agent(company, target)), bare(company, caller, target) as http:
        response = await http.card()
    card = response.json()
    assert card["supportedInterfaces"] == [
        {"url": http.url, "protocolBinding": binding, "protocolVersion": version}
        for binding, version in (("JSONRPC", "1.0"), ("HTTP+JSON", "1.0"), ("JSONRPC", "0.3"))
    ]
    assert card["capabilities"] == {"streaming": True, "pushNotifications": True, "extendedAgentCard": True}
    assert (card["name"], card["skills"][0]["id"]) == (target, "work")
    assert str(company.upstreams[target]) not in response.text
    assert response.headers["cache-control"] == "private, max-age=60"
    secured = {name for requirement in card["securityRequirements"] for name in requirement["schemes"]}
    assert ("mutualTls" in secured) is (target == "analyst")


async def test_the_signature_verifies_with_the_published_keys(company: Company) -> None:
    async with behind_gateway(Agent(company, "analyst")), bare(company) as http:
        card = parse_agent_card((await http.card()).json())

        def key(kid: str | None, jku: str | None) -> PyJWK:
            assert jku == f"{company.public_url}/.well-known/jwks.json"
            [found] = [each for each in jwks["keys"] if each["kid"] == kid]
            return PyJWK(found)

        async with httpx.AsyncClient(verify=company.anyone()) as anyone:
            jwks = (await anyone.get(f"{company.public_url}/.well-known/jwks.json")).json()
    verify = create_signature_verifier(key, ["ES256"])
    verify(card)
    card.supported_interfaces[0].url = "https://evil.test/"
    with pytest.raises(InvalidSignaturesError):
        verify(card)


async def test_an_unchanged_card_is_not_sent_again(company: Company) -> None:
    agent = Agent(company, "analyst")
    async with behind_gateway(agent), bare(company) as http:
        first = await http.card()
        second = await http.card(**{"If-None-Match": first.headers["etag"]})
        other = await http.card(**{"If-None-Match": '"another"'})
    assert (second.status_code, second.content, second.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (other.status_code, other.headers["etag"]) == (200, first.headers["etag"])
    assert agent.headers == []
    assert [found.outcome and found.outcome.status for found in company.records()] == [200, 304, 200]


class Signing(Agent):
    """Signs its card with ``key``."""

    key: Any = None

    @property
    def card(self) -> Any:
        return create_agent_card_signer(self.key, {"kid": "k", "alg": "ES256", "jku": None, "typ": "JOSE"})(
            super().card
        )


@pytest.mark.parametrize("genuine", [True, False])
async def test_a_pinned_card_key_must_have_signed_the_agents_card(company: Company, genuine: bool) -> None:
    agent = Signing(company, "analyst")
    agent.key = ec.generate_private_key(ec.SECP256R1())
    pinned = agent.key if genuine else ec.generate_private_key(ec.SECP256R1())
    jwk = ECAlgorithm.to_jwk(pinned.public_key(), as_dict=True)
    company.registry["agents"]["analyst"]["upstream"]["card_key"] = jwk
    async with behind_gateway(agent), bare(company) as http:
        response = await http.card()
    if genuine:
        assert response.status_code == 200, response.text
    else:
        assert refusal_of(response) == (502, 1502, "upstream_identity")
        [found] = company.records()
        assert found.outcome is not None
        assert found.outcome.reason == "upstream_identity"


async def test_a_card_key_that_verifies_nothing_is_a_mistake_of_the_configuration(company: Company) -> None:
    private = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    company.registry["agents"]["analyst"]["upstream"]["card_key"] = private
    with pytest.RaisesGroup(pytest.RaisesExc(PartError, match=r"agents\.analyst\.upstream\.card_key: the pinned JWK")):
        async with running(company):
            pass
