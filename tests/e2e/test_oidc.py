"""A certified OpenID provider as the company's issuer: discovery, a real login with PKCE, and what is refused.

Tokens come from the authorization code flow with a resource indicator. While the provider is away the kept keys
go on working, and nothing that needs a new key is let through.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.identity import keysets
from tests.company import Company
from tests.gateways import asgi, mcp_client, running
from tests.peers.oidc import oidc_provider, token_answer
from tests.ports import free_port
from tests.wire.ledger import Ledger

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def trusting(company: Company, issuer: str) -> Company:
    """The company with the provider as its only issuer."""
    company.settings["issuers"] = [
        {"name": "corp", "issuer": issuer, "discovery": True, "scope_map": {"ledger.read": ["ledger/read_balance"]}}
    ]
    company.registry["people"]["corp|maria"]["issuer"] = issuer
    company.registry["agents"]["planner"]["clients"] = ["ide"]
    return company


@asynccontextmanager
async def standing(company: Company, issuer: str) -> AsyncIterator[Ledger]:
    ledger = Ledger()
    async with (
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        running(trusting(company, issuer)),
    ):
        yield ledger


def resource(company: Company) -> str:
    return f"{company.data_url}/mcp/ledger"


async def log_in(company: Company, issuer: str, of: str | None = None) -> dict[str, str]:
    return dict(await token_answer(issuer, of or resource(company)))


async def refusal(company: Company, token: str) -> tuple[int, str, str]:
    """Status, reason and challenge by which the token is refused."""
    headers = {
        "Authorization": f"Bearer {token}",
        "MCP-Protocol-Version": "2025-11-25",
        "Accept": "application/json, text/event-stream",
    }
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=company.client("planner"))) as http,
        http.post(resource(company), json=PING, headers=headers) as response,
    ):
        answer = await response.json()
        return response.status, answer["error"]["data"]["reason"], response.headers.get("WWW-Authenticate", "")


async def call(company: Company, token: str) -> object:
    async with mcp_client(company, token=token) as client:
        return (await client.call_tool("read_balance", {"account": "payroll"})).structured_content


async def test_a_login_with_the_metadatas_own_resource_is_enough_to_call(company: Company) -> None:
    async with oidc_provider() as issuer, standing(company, issuer) as ledger:
        url = f"{company.data_url}/.well-known/oauth-protected-resource/mcp/ledger"
        async with aiohttp.request("GET", url, connector=aiohttp.TCPConnector(ssl=company.client("planner"))) as answer:
            metadata = await answer.json()
        tokens = await log_in(company, metadata["authorization_servers"][0], metadata["resource"])
        balance = await call(company, tokens["access_token"])
    assert balance == {"account": "payroll", "balance": 128150}
    minted = jwt.decode(
        ledger.headers[-1]["authorization"].removeprefix("Bearer "), options={"verify_signature": False}
    )
    assert (minted["iss"], minted["sub"], minted["aud"]) == (company.public_url, "corp|maria", resource(company))
    assert all(tokens["access_token"] not in str(headers) for headers in ledger.headers)


async def test_tokens_for_another_resource_and_id_tokens_are_refused_with_a_challenge(company: Company) -> None:
    async with oidc_provider() as issuer, standing(company, issuer) as ledger:
        elsewhere = await log_in(company, issuer, f"{company.data_url}/mcp/elsewhere")
        answers = [await refusal(company, elsewhere["access_token"]), await refusal(company, elsewhere["id_token"])]
    assert [answer[:2] for answer in answers] == [(401, "token_audience"), (401, "token_type")]
    for _, _, challenge in answers:
        assert 'error="invalid_token"' in challenge
        assert f'resource_metadata="{company.data_url}/.well-known/oauth-protected-resource/mcp/ledger"' in challenge
    assert ledger.headers == []


async def test_while_the_provider_is_away_kept_keys_work_and_unknown_ones_are_unavailable(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The shortest pause between two fetches is 30 s, longer than a test should last.
    monkeypatch.setattr(keysets, "REFETCH_SECONDS", 0)
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    async with standing(company, issuer) as ledger:
        async with oidc_provider(port):
            first, second = await log_in(company, issuer), await log_in(company, issuer)
            assert await call(company, first["access_token"])
        assert await call(company, second["access_token"])
        served = len(ledger.headers)
        assert await refusal(company, forged(company, issuer, "peer-2")) == (503, "keys_unavailable", "")
        assert (await refusal(company, forged(company, issuer, "peer-1")))[:2] == (401, "token_signature")
        assert len(ledger.headers) == served
        async with oidc_provider(port, "peer-2"):
            third = await log_in(company, issuer)
            assert await call(company, third["access_token"])
            assert (await refusal(company, second["access_token"]))[:2] == (401, "token_signature")


async def test_made_up_key_ids_cause_no_fetch_so_soon_after_the_last(company: Company) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    async with standing(company, issuer):
        async with oidc_provider(port):
            assert await call(company, (await log_in(company, issuer))["access_token"])
        # A fetch would fail now, and the refusal would say so.
        answers = [await refusal(company, forged(company, issuer, f"made-up-{n}")) for n in range(3)]
    assert {answer[:2] for answer in answers} == {(401, "token_signature")}


async def test_a_provider_that_was_never_reached_refuses_everybody_until_it_is_there(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keysets, "REFETCH_SECONDS", 0)
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    async with standing(company, issuer) as ledger:
        assert (await refusal(company, forged(company, issuer, "peer-1")))[:2] == (503, "keys_unavailable")
        assert ledger.headers == []
        async with oidc_provider(port):
            assert await call(company, (await log_in(company, issuer))["access_token"])


def forged(company: Company, issuer: str, kid: str) -> str:
    """A token with all the right claims, signed by a key of the forger's."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = int(time.time())
    claims = {"iss": issuer, "sub": "maria", "aud": resource(company), "azp": "ide", "iat": now, "exp": now + 600}
    return jwt.encode(
        claims | {"scope": "ledger.read", "jti": "x"}, key, "RS256", headers={"typ": "at+jwt", "kid": kid}
    )
