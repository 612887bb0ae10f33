"""Assertions of peer gateways: which are genuine and of whom, and what one says as a whole."""

from typing import Any

import pytest

from gateway.core.errors import TokenError
from gateway.core.federation import Assertion, PeerGateway
from gateway.core.model import Peer, SpiffeId
from gateway.core.reasons import Reason
from gateway.identity.assertions import ASSERTION_TYPE, AssertionVerifier, TrustedPeer
from gateway.identity.issuers import JwksUri
from gateway.identity.jose import parse_compact
from gateway.identity.keysets import KeySet
from tests.identity.issuing import EC_KEY, GATEWAY, NOW, Loads, changed, issuer, sign

FAR = "https://gw.far.test"
FAR_ID = SpiffeId("spiffe://far.test/hopgate")
PLANNER, SCOUT = SpiffeId("spiffe://far.test/planner"), SpiffeId("spiffe://far.test/scout")
RESOURCE = "https://gw.test:8443/a2a/analyst"
THUMB = "F" * 43
HOLDER = Peer(FAR_ID, "far.test", THUMB, NOW + 1000)
CLAIMS: dict[str, Any] = {
    "iss": FAR,
    "sub": "corp|maria",
    "aud": GATEWAY,
    "resource": RESOURCE,
    "client_id": SCOUT,
    "iat": NOW - 5,
    "nbf": NOW - 5,
    "exp": NOW + 50,
    "jti": "a-1",
    "txn": "t-1",
    "del_scope": "analyst/delegate ledger/read",
    "del_depth": 2,
    "del_max_depth": 4,
    "root_exp": NOW + 600,
    "act": {"sub": SCOUT, "act": {"sub": PLANNER}},
    "cnf": {"x5t#S256": THUMB},
}
GATEWAY_FAR = PeerGateway(
    name="far", issuer=FAR, spiffe_id=FAR_ID, trust_domain="far.test", token_endpoint=f"{FAR}/oauth/token",
    trust_domains=frozenset({"far.test"}), users={}, scopes={}, max_depth=4,
)  # fmt: skip


def verifier(loads: Loads | None = None, **more: Any) -> AssertionVerifier:
    configured = issuer(name="peer-far", issuer=FAR, source=JwksUri(f"{FAR}/jwks"), algorithms=("ES256",))
    keys = KeySet(configured, loads or Loads(), lambda *_: None)
    return AssertionVerifier({FAR: TrustedPeer(GATEWAY_FAR, keys)}, GATEWAY, **more)


def signed(typ: str = ASSERTION_TYPE, **claims: Any) -> str:
    return sign(changed(CLAIMS, **claims), EC_KEY, {"typ": typ})


async def verified(token: str, presenter: Peer = HOLDER, resource: str = RESOURCE, now: int = NOW) -> Assertion:
    found, gateway = await verifier().verify(token, presenter, resource, now)
    assert gateway == GATEWAY_FAR
    return found


async def test_says_the_chain_as_a_whole() -> None:
    text = signed()
    assert await verified(text) == Assertion(
        issuer=FAR,
        sub="corp|maria",
        resource=RESOURCE,
        actors=(PLANNER, SCOUT),
        txn="t-1",
        ceiling=frozenset({"analyst/delegate", "ledger/read"}),
        depth=2,
        max_depth=4,
        root_expires=NOW + 600,
        expires=NOW + 50,
        x5t=THUMB,
        digest=parse_compact(text, 8192).digest,
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": NOW + 30, "nbf": NOW + 30, "exp": NOW + 90},
        {"iat": NOW - 59, "exp": NOW + 1},
        {"iat": NOW, "exp": NOW + 60},
        {"exp": NOW + 50, "root_exp": NOW + 50},
        {"nbf": ...},
        {"del_scope": ...},
        {"sub": PLANNER},
    ],
)
async def test_what_is_just_in_time_counts(claims: dict[str, Any]) -> None:
    assert await verified(signed(**claims))


TOO_LONG = (Reason.TOKEN_CLAIMS, "an assertion lives at most 60 s, and not past root_exp")
PLAIN = "is not a plain string of at most 1024 characters"


@pytest.mark.parametrize(
    ("token", "reason", "detail"),
    [
        (signed(iss="https://x.test"), Reason.TOKEN_ISSUER, "iss 'https://x.test' is no configured peer gateway"),
        (signed(iss="x" * 300), Reason.TOKEN_ISSUER, f"iss {'x' * 200!r} is no configured peer gateway"),
        (signed(iss=[FAR]), Reason.TOKEN_ISSUER, f"iss {str([FAR])!r} is no configured peer gateway"),
        (signed("at+jwt"), Reason.TOKEN_TYPE, "typ is not hopgate-chain+jwt"),
        (
            sign(CLAIMS, EC_KEY, {"typ": ASSERTION_TYPE, "kid": "x"}),
            Reason.TOKEN_SIGNATURE,
            "no key of issuer peer-far verifies the token",
        ),
        (signed(aud=[GATEWAY]), Reason.TOKEN_AUDIENCE, "aud is not this gateway's issuer, as one string"),
        (signed(aud=...), Reason.TOKEN_AUDIENCE, "aud is not this gateway's issuer, as one string"),
        (signed(iat=NOW + 31, exp=NOW + 60), Reason.TOKEN_EXPIRED, "the token is not valid yet"),
        (signed(nbf=NOW + 31), Reason.TOKEN_EXPIRED, "the token is not valid yet"),
        (
            signed(iat=NOW - 60, exp=NOW),
            Reason.TOKEN_EXPIRED,
            "the assertion is expired; check the clocks of both gateways",
        ),
        (signed(iat=NOW, exp=NOW + 61), *TOO_LONG),
        (signed(root_exp=NOW + 49), *TOO_LONG),
        (signed(exp=NOW - 5), *TOO_LONG),
        (signed(del_depth=1), Reason.CHAIN_FORGED, "del_depth is not the number of actors"),
        (signed(del_max_depth=1), Reason.CHAIN_FORGED, "del_depth is over del_max_depth"),
        (signed(act=7), Reason.CHAIN_FORGED, "act is not a chain of actors"),
        (signed(client_id=PLANNER), Reason.CHAIN_FORGED, "client_id is not the current actor"),
        (signed(del_depth="2"), Reason.TOKEN_CLAIMS, "claim del_depth is not a small integer"),
        (signed(del_max_depth="2"), Reason.TOKEN_CLAIMS, "claim del_max_depth is not a small integer"),
        (signed(exp=...), Reason.TOKEN_CLAIMS, "claim exp is not a NumericDate"),
        (signed(iat=...), Reason.TOKEN_CLAIMS, "claim iat is not a NumericDate"),
        (signed(root_exp=...), Reason.TOKEN_CLAIMS, "claim root_exp is not a NumericDate"),
        (signed(del_scope=7), Reason.TOKEN_CLAIMS, "claim del_scope is not a space-separated list of scopes"),
        (signed(cnf=...), Reason.TOKEN_CLAIMS, "claim cnf is not a certificate thumbprint"),
        *((signed(**{name: 7}), Reason.TOKEN_CLAIMS, f"claim {name} {PLAIN}") for name in ("jti", "txn", "resource")),
        (signed(cnf={"x5t#S256": "G" * 43}), Reason.CHAIN_HOLDER, f"the assertion is not {FAR_ID}'s to redeem"),
        (
            signed(resource="https://gw.test:8443/mcp/ledger"),
            Reason.TOKEN_AUDIENCE,
            "the assertion is for https://gw.test:8443/mcp/ledger",
        ),
        (
            signed(pad="x" * 8192),
            Reason.TOKEN_MALFORMED,
            "the token is malformed: it is longer than 8192 bytes",
        ),
    ],
)
async def test_refusals_say_what_is_wrong(token: str, reason: Reason, detail: str) -> None:
    with pytest.raises(TokenError) as caught:
        await verified(token)
    assert (caught.value.reason, caught.value.detail) == (reason, detail)


async def test_only_the_peer_itself_redeems_it() -> None:
    other = Peer(PLANNER, "far.test", THUMB, NOW + 1000)
    with pytest.raises(TokenError, match=f"the assertion is not {PLANNER}'s to redeem") as caught:
        await verified(signed(), other)
    assert caught.value.reason is Reason.CHAIN_HOLDER


async def test_keys_are_asked_for_known_peers_and_assertions_alone() -> None:
    loads = Loads()
    checker = verifier(loads)
    for token in (signed(iss="https://x.test"), signed("at+jwt"), "a.b.c"):
        with pytest.raises(TokenError):
            await checker.verify(token, HOLDER, RESOURCE, NOW)
    assert loads.calls == 0
    await checker.verify(signed(), HOLDER, RESOURCE, NOW)
    assert loads.calls == 1


async def test_a_length_that_is_configured_counts() -> None:
    text = signed()
    assert await verifier(max_bytes=len(text)).verify(text, HOLDER, RESOURCE, NOW)
    with pytest.raises(TokenError, match="longer than"):
        await verifier(max_bytes=len(text) - 1).verify(text, HOLDER, RESOURCE, NOW)
