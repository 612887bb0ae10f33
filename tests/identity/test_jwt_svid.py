"""JWT-SVIDs: what proves a SPIFFE ID for one route, once, and everything near it that doesn't."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import HopError
from gateway.core.model import Peer
from gateway.core.reasons import Reason
from gateway.identity.jose import canonical_base64url
from gateway.identity.jwt_svid import LEEWAY_SECONDS, NONCE_CHARS, JwtBundles, JwtSvids, read_bundle
from gateway.store.single_use import SqlSingleUse
from gateway.store.state import open_state
from tests.identity.issuing import public_jwk

NOW = 1_800_000_000
RESOURCE = "https://gw.test:8444/mcp/ledger"
AGENT = "spiffe://a.test/agent/planner"
A, B = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
GOOD: Mapping[str, Any] = {"sub": AGENT, "aud": [RESOURCE], "exp": NOW + 200, "iat": NOW - 5}


def bundle(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": keys, "spiffe_sequence": 1, "spiffe_refresh_hint": 300}).encode()


BUNDLES = JwtBundles()
BUNDLES.publish(
    {
        "a.test": read_bundle(
            bundle(
                public_jwk(A, "a", use="jwt-svid"),
                public_jwk(RSA_KEY, "r"),
                public_jwk(B, "x509", use="x509-svid"),
                public_jwk(B, None, use="x509-svid", x5c=["AA=="]),
            )
        ),
        "b.test": read_bundle(bundle(public_jwk(B, "b", use="jwt-svid"))),
    }
)


def minted(
    claims: Mapping[str, Any] = GOOD, key: Any = A, kid: str | None = "a", alg: str = "ES256", **header: Any
) -> str:
    named = {"kid": kid} if kid else {}
    return jwt.encode(dict(claims), key, alg, headers={"typ": "JWT", **named, **header})


@pytest.fixture
async def svids(tmp_path: Path) -> AsyncIterator[JwtSvids]:
    engine = await open_state(f"sqlite:///{tmp_path / 'hopgate.db'}")
    yield JwtSvids(BUNDLES, SqlSingleUse(engine), max_seconds=300)
    await engine.dispose()


def changed(**claims: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **claims}.items() if value is not None}


@pytest.mark.parametrize(
    "token",
    [
        minted(),
        minted(typ="JOSE"),
        minted(kid=None),
        minted(changed(aud=RESOURCE)),
        minted(changed(aud=[f"{RESOURCE}#one-more.time_1"])),
        minted(changed(iat=None)),
        minted(changed(exp=NOW - LEEWAY_SECONDS + 1)),
        minted(changed(exp=NOW + 300 + LEEWAY_SECONDS)),
        minted(key=RSA_KEY, kid="r", alg="RS256"),
        minted(key=RSA_KEY, kid="r", alg="PS384"),
    ],
)
async def test_what_proves_a_workload(svids: JwtSvids, token: str) -> None:
    found = svids.verify(token, RESOURCE, NOW).peer
    assert (found.spiffe_id, found.trust_domain, found.x5t, found.proof, found.forwarder) == (
        AGENT, "a.test", "", "jwt-svid", None,
    )  # fmt: skip
    assert found.not_after == jwt.decode(token, options={"verify_signature": False})["exp"]


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "three segments"),
        (minted() + ".", "three segments"),
        (minted() + "=", "base64url"),
        (minted()[:-2] + "AA", "no JWT authority"),
        (minted(typ="at+jwt"), "typ"),
        (minted(typ="JWT+x"), "typ"),
        (minted(kid="unknown"), "no JWT authority"),
        (minted(key=B), "no JWT authority"),
        (minted(key=B, kid="b"), "no JWT authority"),
        (minted(key=B, kid="x509"), "no JWT authority"),
        (minted(changed(sub="spiffe://b.test/agent/x")), "no JWT authority of b.test"),
        (minted(changed(sub="spiffe://c.test/agent/x")), "no bundle .* c.test"),
        (minted(changed(sub="planner")), "no SPIFFE ID"),
        (minted(changed(sub="spiffe://a.test")), "no SPIFFE ID"),
        (minted(changed(sub=None)), "no SPIFFE ID"),
        (minted(changed(aud=None)), "aud"),
        (minted(changed(aud=[])), "aud"),
        (minted(changed(aud=[RESOURCE, "https://other.test"])), "aud"),
        (minted(changed(aud=[RESOURCE, RESOURCE])), "aud"),
        (minted(changed(aud=RESOURCE + "/")), "aud"),
        (minted(changed(aud="https://gw.test:8444/mcp/payments")), "aud"),
        (minted(changed(aud="https://gw.test:8444")), "aud"),
        (minted(changed(aud=RESOURCE + "#" + "a" * (NONCE_CHARS + 1))), "aud"),
        (minted(changed(aud=RESOURCE + "#a/b")), "aud"),
        (minted(changed(exp=None)), "exp"),
        (minted(changed(exp=NOW - LEEWAY_SECONDS)), "expired"),
        (minted(changed(exp=NOW + 301 + LEEWAY_SECONDS)), "lives longer"),
        (minted(changed(iat=NOW + 60)), "not valid yet"),
        (minted(changed(nbf=NOW + 60)), "not valid yet"),
        (minted(key="k" * 32, alg="HS256"), "alg"),
        (jwt.encode(dict(GOOD), None, "none") + "AA", "alg"),
        (minted(kid="a", jku="https://evil.test/jwks.json", key=B), "no JWT authority"),
    ],
)
async def test_what_proves_nobody(svids: JwtSvids, token: str, why: str) -> None:
    with pytest.raises(HopError, match=why) as caught:
        svids.verify(token, RESOURCE, NOW)
    assert caught.value.reason == Reason.WORKLOAD_TOKEN
    assert len(token) < 20 or token not in str(caught.value)


async def test_it_serves_once(svids: JwtSvids) -> None:
    found = svids.verify(minted(), RESOURCE, NOW)
    await svids.spend(found, NOW)
    await svids.spend(svids.verify(minted(changed(jti="2")), RESOURCE, NOW), NOW)
    for _ in range(2):
        with pytest.raises(HopError) as caught:
            await svids.spend(found, NOW + 229)
        assert caught.value.reason == Reason.WORKLOAD_TOKEN_SPENT


async def test_another_signature_of_the_same_claims_is_the_same_token(svids: JwtSvids) -> None:
    """ES256 signatures are malleable: (r, n - s) is as good as (r, s)."""
    token = minted()
    await svids.spend(svids.verify(token, RESOURCE, NOW), NOW)
    head, _, signature = token.rpartition(".")
    raw = jwt.utils.base64url_decode(signature)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    respelled = f"{head}.{canonical_base64url(other)}"
    assert respelled != token
    with pytest.raises(HopError) as caught:
        await svids.spend(svids.verify(respelled, RESOURCE, NOW), NOW)
    assert caught.value.reason == Reason.WORKLOAD_TOKEN_SPENT


async def test_of_many_at_once_one_is_let_through(svids: JwtSvids) -> None:
    found = svids.verify(minted(), RESOURCE, NOW)
    done = await asyncio.gather(*(svids.spend(found, NOW) for _ in range(20)), return_exceptions=True)
    assert done.count(None) == 1


@given(
    claims=st.fixed_dictionaries(
        {},
        optional={
            "sub": st.sampled_from([AGENT, "spiffe://b.test/x", "x", 7, None]),
            "aud": st.sampled_from([RESOURCE, [RESOURCE], [], [RESOURCE, "x"], {"a": 1}, 7]),
            "exp": st.integers(NOW - 100, NOW + 500) | st.just("soon"),
            "iat": st.integers(NOW - 100, NOW + 100),
        },
    ),
    key=st.sampled_from([(A, "a"), (B, "b"), (B, "a"), (A, "b")]),
)
def test_only_the_right_claims_by_the_right_key_prove_anybody(claims: dict[str, Any], key: tuple[Any, str]) -> None:
    header = canonical_base64url(json.dumps({"alg": "ES256", "kid": key[1], "typ": "JWT"}).encode())
    payload = canonical_base64url(json.dumps(claims).encode())
    algorithm = jwt.get_algorithm_by_name("ES256")
    signed = algorithm.sign(f"{header}.{payload}".encode(), key[0])
    svids = JwtSvids(BUNDLES, single_use=None, max_seconds=300)  # type: ignore[arg-type]
    try:
        found: Peer | None = svids.verify(f"{header}.{payload}.{canonical_base64url(signed)}", RESOURCE, NOW).peer
    except HopError as error:
        assert error.reason == Reason.WORKLOAD_TOKEN
        found = None
    right = (
        claims.get("aud") in (RESOURCE, [RESOURCE])
        and isinstance(claims.get("exp"), int)
        and NOW - LEEWAY_SECONDS < claims["exp"] <= NOW + 300 + LEEWAY_SECONDS
        and claims.get("iat", 0) <= NOW + LEEWAY_SECONDS
        and (claims.get("sub"), key) in [(AGENT, (A, "a")), ("spiffe://b.test/x", (B, "b"))]
    )
    assert (found is not None) == right


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": [], "keys": []}'])
def test_what_is_no_bundle(document: bytes) -> None:
    with pytest.raises(ValueError):
        read_bundle(document)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (minted(key="k" * 32, alg="HS256"), "its alg is none of a JWT-SVID's"),
        (minted(typ="at+jwt"), "its typ is not a JWT-SVID's"),
        (
            minted(changed(sub="planner")),
            "its sub is no SPIFFE ID: a SPIFFE ID begins with spiffe:// in lower case",
        ),
        (
            minted(changed(sub="spiffe://c.test/agent/x")),
            "there is no bundle of JWT authorities for c.test",
        ),
        (minted(key=B), "no JWT authority of a.test verifies it"),
        (minted(changed(aud="x")), "its aud is not exactly this route's resource"),
        (minted(changed(aud=[RESOURCE, RESOURCE])), "its aud is not exactly this route's resource"),
        (minted(changed(exp=NOW - LEEWAY_SECONDS)), "it is expired"),
        (
            minted(changed(exp=NOW + 301 + LEEWAY_SECONDS)),
            "it lives longer than 300 s from now; configure a shorter JWT-SVID TTL",
        ),
        (minted(changed(exp="soon")), "claim exp is not a NumericDate"),
        (minted(changed(iat=NOW + 60)), "the token is not valid yet"),
        (
            minted(changed(pad="x" * 8192)),
            "the token is malformed: it is longer than 8192 bytes",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong(token: str, why: str) -> None:
    svids = JwtSvids(BUNDLES, single_use=None, max_seconds=300)  # type: ignore[arg-type]
    with pytest.raises(HopError) as caught:
        svids.verify(token, RESOURCE, NOW)
    assert (caught.value.reason, caught.value.detail) == (Reason.WORKLOAD_TOKEN, why)


def test_a_nonce_of_the_greatest_length_serves() -> None:
    svids = JwtSvids(BUNDLES, single_use=None, max_seconds=300)  # type: ignore[arg-type]
    assert svids.verify(minted(changed(aud=RESOURCE + "#" + "a" * NONCE_CHARS)), RESOURCE, NOW)


async def test_a_spent_one_is_told_by_its_workload_and_kept_until_it_ends(svids: JwtSvids) -> None:
    found = svids.verify(minted(), RESOURCE, NOW)
    await svids.spend(found, NOW)
    with pytest.raises(HopError) as caught:
        await svids.spend(found, NOW + 200)
    assert caught.value.detail == f"the JWT-SVID of {AGENT} was presented before"


class Remembering:
    """What was spent, as it was said."""

    def __init__(self) -> None:
        self.spent: list[tuple[str, int, int]] = []

    async def spend(self, name: str, expires: int, now: int) -> bool:
        self.spent.append((name, expires, now))
        return True


async def test_what_is_spent_is_kept_past_the_leeway() -> None:
    store = Remembering()
    svids = JwtSvids(BUNDLES, store, max_seconds=300)
    found = svids.verify(minted(), RESOURCE, NOW)
    await svids.spend(found, NOW + 1)
    assert store.spent == [(f"jwt-svid:{found.digest}", NOW + 200 + LEEWAY_SECONDS, NOW + 1)]


def test_a_bundle_is_told_from_what_is_none() -> None:
    many = [public_jwk(A, f"k-{number}") for number in range(65)]
    assert len(read_bundle(bundle(*many[:64]))) == 64
    for document in (bundle(*many), b'{"keys": {}}', b"{}"):
        with pytest.raises(ValueError) as caught:
            read_bundle(document)
        assert str(caught.value) == "it has no list of at most 64 keys"


def test_only_jwt_authorities_of_a_bundle_verify() -> None:
    uses: list[tuple[dict[str, str], bool]] = [
        ({}, True), ({"use": "jwt-svid"}, True), ({"use": "sig"}, True), ({"use": "x509-svid"}, False),
        ({"use": "enc"}, False),
    ]  # fmt: skip
    for members, counts in uses:
        assert len(read_bundle(bundle(public_jwk(A, "a", **members)))) == counts


def test_bundles_are_replaced_as_a_whole() -> None:
    bundles = JwtBundles()
    assert bundles.of("a.test") is None
    keys = read_bundle(bundle(public_jwk(A, "a")))
    bundles.publish({"a.test": keys})
    assert bundles.of("a.test") is keys
    bundles.publish({})
    assert bundles.of("a.test") is None
