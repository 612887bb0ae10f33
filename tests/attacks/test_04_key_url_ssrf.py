"""Attack 4: a token that brings its own key, or the URL of one (``jwk``, ``x5c``, ``jku``, ``x5u``)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core.reasons import Reason
from gateway.identity.issuers import JwksUri
from gateway.identity.keysets import key_set
from gateway.identity.tokens import OwnIssuer, TokenVerifier, TrustedIssuer
from tests.identity.issuing import (
    GATEWAY,
    HOP_CLAIMS,
    JWKS,
    ROOT_CLAIMS,
    SIGNER,
    accepted,
    issuer,
    public_jwk,
    refused,
    sign,
)

ATTACKER = ec.generate_private_key(ec.SECP256R1())


class Site:
    """Serves the issuer's keys at /jwks and the attacker's everywhere else; remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.origin = ""

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(request.path)
        theirs = {"keys": [public_jwk(ATTACKER, "ec-1"), public_jwk(ATTACKER, SIGNER.kid)]}
        return web.json_response(JWKS if request.path == "/jwks" else theirs)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    runner = web.ServerRunner(web.Server(made.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
def checker(site: Site) -> TokenVerifier:
    known = issuer(source=JwksUri(f"{site.origin}/jwks"), loopback_http=True)
    trusted = TrustedIssuer(known, key_set(known, lambda *_: None))
    return TokenVerifier([trusted], OwnIssuer(GATEWAY, SIGNER.verification_keys))


def headers(site: Site) -> list[dict[str, Any]]:
    return [
        {"jku": f"{site.origin}/evil"},
        {"x5u": f"{site.origin}/evil"},
        {"jwk": public_jwk(ATTACKER, "ec-1")},
        {"x5c": ["AAAA"]},
        {"jku": f"{site.origin}/evil", "x5u": f"{site.origin}/evil", "jwk": public_jwk(ATTACKER, None)},
        {"jku": 1, "jwk": None, "x5u": []},
    ]


async def test_the_tokens_own_key_never_verifies_it(site: Site, checker: TokenVerifier) -> None:
    for header in headers(site):
        assert await refused(sign(ROOT_CLAIMS, ATTACKER, header), checker) is Reason.TOKEN_SIGNATURE
        own = sign(HOP_CLAIMS, ATTACKER, header | {"kid": SIGNER.kid})
        assert await refused(own, checker) is Reason.TOKEN_SIGNATURE
    assert site.asked == ["/jwks"]


async def test_no_url_of_a_token_is_ever_fetched(site: Site, checker: TokenVerifier) -> None:
    """Neither for an unknown key id, nor for one in the claims, nor for an unknown issuer."""
    for header in headers(site):
        await refused(sign(ROOT_CLAIMS, ATTACKER, header | {"kid": "unknown"}), checker)
    claims = {**ROOT_CLAIMS, "iss": site.origin, "jku": f"{site.origin}/evil", "jwks_uri": f"{site.origin}/evil"}
    assert await refused(sign(claims, ATTACKER), checker) is Reason.TOKEN_ISSUER
    assert set(site.asked) == {"/jwks"}


async def test_such_headers_are_ignored_on_an_honest_token(site: Site, checker: TokenVerifier) -> None:
    for header in headers(site):
        assert await accepted(sign(ROOT_CLAIMS, header=header), checker)
        assert await accepted(SIGNER.sign_bytes(json.dumps(HOP_CLAIMS).encode(), _texts(header)), checker)
    assert site.asked == ["/jwks"]


def _texts(header: dict[str, Any]) -> dict[str, Any]:
    return {"typ": "at+jwt", **header}
