"""Attack 1: ``alg: none``, and a public key used as an HMAC secret."""

import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.core.reasons import Reason
from gateway.identity.jose import canonical_base64url
from tests.identity.issuing import (
    EC_KEY,
    HOP_CLAIMS,
    JWKS,
    ROOT_CLAIMS,
    RSA_KEY,
    SIGNER,
    Loads,
    accepted,
    refused,
    sign,
    verifier,
)

CLAIMS = [pytest.param(ROOT_CLAIMS, "rsa-1", id="user token"), pytest.param(HOP_CLAIMS, SIGNER.kid, id="hop token")]
PUBLIC = RSA_KEY.public_key()
SECRETS = {
    "PEM": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "PEM without its last line break": PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
    "DER": PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "JWK": json.dumps(JWKS["keys"][0]).encode(),
    "own JWK": json.dumps(SIGNER.jwks()["keys"][0]).encode(),
    "empty": b"",
}


def unsigned(claims: object, header: dict[str, object]) -> str:
    return ".".join(canonical_base64url(json.dumps(part).encode()) for part in (header, claims))


@pytest.mark.parametrize(("claims", "kid"), CLAIMS)
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
async def test_none(claims: object, kid: str, alg: str) -> None:
    body = unsigned(claims, {"alg": alg, "typ": "at+jwt", "kid": kid})
    assert await refused(f"{body}.") is Reason.TOKEN_MALFORMED
    assert await refused(f"{body}.AAAA") is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize(("claims", "kid"), CLAIMS)
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256"])
async def test_public_key_as_hmac_secret(claims: object, kid: str, secret: bytes, alg: str) -> None:
    body = unsigned(claims, {"alg": alg, "typ": "at+jwt", "kid": kid})
    mac = canonical_base64url(hmac.new(secret, body.encode(), hashlib.sha256).digest())
    assert await refused(f"{body}.{mac}") is Reason.TOKEN_SIGNATURE


async def test_symmetric_key_in_the_issuers_own_jwks() -> None:
    jwk = {"kty": "oct", "k": canonical_base64url(b"x" * 32), "kid": "rsa-1", "alg": "HS256"}
    body = unsigned(ROOT_CLAIMS, {"alg": "HS256", "typ": "at+jwt", "kid": "rsa-1"})
    mac = canonical_base64url(hmac.new(b"x" * 32, body.encode(), hashlib.sha256).digest())
    checker = verifier(Loads(json.dumps({"keys": [jwk]}).encode()))
    assert await refused(f"{body}.{mac}", checker) is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize("alg", ["ES256", "PS256", "RS384", "RS512", "EdDSA"])
async def test_good_signature_under_another_algorithms_name(alg: str) -> None:
    assert await refused(sign(ROOT_CLAIMS, RSA_KEY, {"alg": alg})) is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize("signature", [bytes(64), b"\x30\x06\x02\x01\x00\x02\x01\x00", bytes(63), b"\xff" * 64])
async def test_zero_and_odd_signatures(signature: bytes) -> None:
    header = {"alg": "ES256", "typ": "at+jwt"}
    for claims, kid in ((ROOT_CLAIMS, "ec-1"), (HOP_CLAIMS, SIGNER.kid)):
        token = f"{unsigned(claims, header | {'kid': kid})}.{canonical_base64url(signature)}"
        assert await refused(token) is Reason.TOKEN_SIGNATURE


async def test_the_same_tokens_signed_honestly_are_accepted() -> None:
    assert await accepted(sign(ROOT_CLAIMS, RSA_KEY))
    assert await accepted(sign(ROOT_CLAIMS, EC_KEY))
    assert await accepted(SIGNER.sign(HOP_CLAIMS))
