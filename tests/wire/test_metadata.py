"""How a client learns to get a token: the challenges of RFC 6750 and RFC 9728, and the documents that they name."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core.reasons import Reason
from gateway.proxy.oauth.endpoint import GRANTS
from tests.company import Company
from tests.wire import agent as a2a
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, record_of, refusal_of, through_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ, PAY = call("read_balance"), call("pay", amount=5, to="ACME")


class Entrance(NamedTuple):
    company: Company
    ledger: Ledger


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def entrance(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Entrance]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    company.settings["routes"]["mcp"]["ledger"]["user"] = "required"
    company.registry["agents"]["cron"] |= {"clients": ["cli"], "scopes": ["ledger/read_balance"]}
    async with through_gateway(company, ledger):
        yield Entrance(company, ledger)


def parameters(response: httpx2.Response) -> dict[str, str]:
    """The parameters of the one Bearer challenge."""
    scheme, _, rest = response.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return {name: value.strip('"') for name, _, value in (part.partition("=") for part in rest.split(", "))}


async def fetched(company: Company, listener: str, path: str) -> httpx2.Response:
    context = company.client("planner") if listener == "data" else company.anyone()
    base = company.data_url if listener == "data" else company.public_url
    async with httpx2.AsyncClient(verify=context) as http:
        return await http.get(base + path)


async def test_no_token_is_challenged_without_an_error(entrance: Entrance) -> None:
    company, ledger = entrance
    before = len(ledger.headers)
    async with bare(company, token=None) as wire:
        reply = await post(wire, READ)
    assert refusal_of(reply) == (401, 1401, Reason.TOKEN_MISSING)
    assert parameters(reply) == {
        "scope": "all",
        "resource_metadata": f"{company.data_url}/.well-known/oauth-protected-resource/mcp/ledger",
    }
    assert record_of(company, reply).record.reason == Reason.TOKEN_MISSING
    assert len(ledger.headers) == before


STRANGER = ec.generate_private_key(ec.SECP256R1())
BAD_TOKENS = {
    "expired": ({"exp": int(time.time()) - 120}, Reason.TOKEN_EXPIRED),
    "not yet valid": ({"nbf": int(time.time()) + 600}, Reason.TOKEN_EXPIRED),
    "for another resource": ({"aud": "https://elsewhere.test/mcp/ledger"}, Reason.TOKEN_AUDIENCE),
    "of another issuer": ({"iss": "https://other.test"}, Reason.TOKEN_ISSUER),
    "without a subject": ({"sub": None}, Reason.TOKEN_CLAIMS),
    "an ID token": ({"nonce": "n"}, Reason.TOKEN_TYPE),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
async def test_a_bad_token_is_challenged_as_invalid(entrance: Entrance, case: str) -> None:
    company = entrance.company
    claims, reason = BAD_TOKENS[case]
    token = company.token(f"{company.data_url}/mcp/ledger", **{"aud": f"{company.data_url}/mcp/ledger"} | claims)
    await _refused_as_invalid(entrance, token, reason)


@pytest.mark.parametrize("token", ["an-opaque-token", "a.b.c", "ey.ey.", "x" * 9000])
async def test_what_is_no_token_is_challenged_as_invalid(entrance: Entrance, token: str) -> None:
    await _refused_as_invalid(entrance, token, Reason.TOKEN_MALFORMED)


async def test_a_token_signed_by_a_stranger_is_challenged_as_invalid(entrance: Entrance) -> None:
    claims = jwt.decode(
        entrance.company.token(f"{entrance.company.data_url}/mcp/ledger"), options={"verify_signature": False}
    )
    forged = jwt.encode(claims, STRANGER, "ES256", headers={"typ": "at+jwt", "kid": "maria-1"})
    await _refused_as_invalid(entrance, forged, Reason.TOKEN_SIGNATURE)


async def _refused_as_invalid(entrance: Entrance, token: str, reason: Reason) -> None:
    company, ledger = entrance
    before = len(ledger.headers)
    async with bare(company, token=token) as wire:
        reply = await post(wire, READ)
    assert refusal_of(reply) == (401, 1401, reason)
    assert parameters(reply) == {
        "error": "invalid_token",
        "scope": "all",
        "resource_metadata": f"{company.data_url}/.well-known/oauth-protected-resource/mcp/ledger",
    }
    assert token not in reply.text
    record = record_of(company, reply).record
    assert (record.reason, record.user) == (reason, None)
    assert len(ledger.headers) == before


async def test_a_basic_login_is_no_bearer_token(entrance: Entrance) -> None:
    async with bare(entrance.company, token=None) as wire:
        reply = await post(wire, READ, {"Authorization": "Basic bWFyaWE6cGFzc3dvcmQ="})
    assert refusal_of(reply) == (401, 1401, Reason.TOKEN_MALFORMED)
    assert "bWFyaWE6" not in reply.text


@pytest.mark.parametrize("listener", ["data", "public"])
@pytest.mark.parametrize("route", ["mcp/ledger", "a2a/planner", "a2a/analyst"])
async def test_the_document_of_a_challenge_is_the_resource_that_was_used(
    entrance: Entrance, listener: str, route: str
) -> None:
    company, agent = entrance.company, "planner" if listener == "data" else None
    base = company.data_url if agent else company.public_url
    context = company.client(agent) if agent else company.anyone()
    async with httpx2.AsyncClient(verify=context) as http:
        challenged = await http.post(f"{base}/{route}", json=a2a.sending("hello"), headers={"A2A-Version": "1.0"})
        assert challenged.status_code == 401
        url = parameters(challenged)["resource_metadata"]
        document = (await http.get(url)).json()
    assert url == f"{base}/.well-known/oauth-protected-resource/{route}"
    assert document["resource"] == f"{base}/{route}"
    assert document["authorization_servers"] == ["https://login.demo.test"]
    assert document["bearer_methods_supported"] == ["header"]
    assert document["scopes_supported"] == (["all", "read"] if route == "mcp/ledger" else ["all"])
    assert parameters(challenged)["scope"] == "all"


@pytest.mark.parametrize("listener", ["data", "public"])
async def test_keys_and_issuer_metadata(entrance: Entrance, listener: str) -> None:
    company = entrance.company
    metadata = (await fetched(company, listener, "/.well-known/oauth-authorization-server")).json()
    keys = await fetched(company, listener, "/.well-known/jwks.json")
    assert metadata == {
        "issuer": company.public_url,
        "jwks_uri": f"{company.public_url}/.well-known/jwks.json",
        "response_types_supported": [],
        "token_endpoint": f"{company.data_url}/oauth/token",
        "mtls_endpoint_aliases": {"token_endpoint": f"{company.data_url}/oauth/token"},
        "token_endpoint_auth_methods_supported": ["tls_client_auth"],
        "grant_types_supported": list(GRANTS),
        "tls_client_certificate_bound_access_tokens": True,
    }
    [key] = keys.json()["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}, "the public half only"
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    assert "max-age" in keys.headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp/none", "/.well-known/x", "/"],
)
async def test_other_documents_do_not_exist(entrance: Entrance, path: str) -> None:
    reply = await fetched(entrance.company, "public", path)
    assert (reply.status_code, reply.json()["reason"]) == (404, Reason.ROUTE_UNKNOWN)


async def test_a_missing_scope_is_challenged_where_a_token_would_cure_it(entrance: Entrance) -> None:
    company, ledger = entrance
    reading = company.token(f"{company.data_url}/mcp/ledger", scope="read")
    async with bare(company, token=reading) as wire:
        permitted = await post(wire, READ)
        before = len(ledger.headers)
        reply = await post(wire, PAY)
    assert permitted.status_code == 200
    assert refusal_of(reply) == (403, 1403, Reason.INSUFFICIENT_SCOPE)
    assert parameters(reply) == {
        "error": "insufficient_scope",
        "scope": "all",
        "resource_metadata": f"{company.data_url}/.well-known/oauth-protected-resource/mcp/ledger",
    }
    assert reply.json()["error"]["data"]["scopes"] == ["all"]
    assert record_of(company, reply).record.reason == Reason.INSUFFICIENT_SCOPE
    async with bare(company, token=company.token(wire.url, scope=parameters(reply)["scope"])) as wire:
        assert (await post(wire, PAY)).status_code == 200, "the challenge names what cures it"
    assert len(ledger.headers) == before + 1


async def test_a_scope_that_the_agent_lacks_is_not_challenged(entrance: Entrance) -> None:
    company, ledger = entrance
    before = len(ledger.headers)
    for scope in ("all", "read"):
        async with bare(company, "cron", token=company.token(f"{company.data_url}/mcp/ledger", scope=scope)) as wire:
            reply = await post(wire, PAY)
        assert refusal_of(reply) == (403, 1403, Reason.SCOPE_CEILING)
        assert "www-authenticate" not in reply.headers
        assert record_of(company, reply).record.reason == Reason.SCOPE_CEILING
    assert len(ledger.headers) == before


async def test_a_policys_denial_is_not_challenged_even_where_a_scope_lacks_too(entrance: Entrance) -> None:
    company = entrance.company
    async with bare(company, token=company.token(f"{company.data_url}/mcp/ledger", scope="read")) as wire:
        reply = await post(wire, call("delete_all"))
    assert refusal_of(reply) == (403, 1403, Reason.NO_PERMIT)
    assert "www-authenticate" not in reply.headers


async def test_only_entry_agents_act_without_a_user(tmp_path: Path) -> None:
    company, ledger = Company(tmp_path), Ledger()
    async with through_gateway(company, ledger):
        async with bare(company, "cron", token=None) as wire:
            permitted = await post(wire, PAY)
        before = len(ledger.headers)
        async with bare(company, "analyst", token=None) as wire:
            reply = await post(wire, READ)
    assert permitted.status_code == 200
    assert refusal_of(reply) == (401, 1401, Reason.TOKEN_MISSING)
    assert "error" not in parameters(reply)
    assert record_of(company, reply).record.reason == Reason.TOKEN_MISSING
    assert len(ledger.headers) == before


async def test_agents_routes_take_no_strangers_at_the_public_listener(entrance: Entrance) -> None:
    company, ledger = entrance
    before = len(ledger.headers)
    for url in (company.public_url, company.data_url):
        async with bare(company, None, token=company.token(f"{url}/mcp/ledger")) as wire:
            reply = await post(wire, READ)
        expected = (
            (403, 1403, Reason.ENTRY_POINT_REQUIRED)
            if url == company.public_url
            else (401, 1401, Reason.TOKEN_AUDIENCE)
        )
        assert refusal_of(reply) == expected
    assert len(ledger.headers) == before
