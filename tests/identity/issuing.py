"""Token makers for tests: an OIDC issuer that signs whatever it is told to, and the gateway's own."""

import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.api_jws import PyJWS

from gateway.core.errors import TokenError
from gateway.core.model import HopToken, Peer, RootToken, Route
from gateway.core.reasons import Reason
from gateway.identity.issuers import Issuer, JwksUri
from gateway.identity.jose import canonical_base64url
from gateway.identity.keysets import KeySet
from gateway.identity.signer import generate_key_pem, load_signer
from gateway.identity.tokens import OwnIssuer, TokenVerifier, TrustedIssuer

NOW = 1_800_000_000
ISSUER = "https://login.test"
GATEWAY = "https://gw.test:8444"
RESOURCE = "https://gw.test:8443/mcp/ledger"
ROUTE = Route("mcp", "ledger", "/mcp/ledger", RESOURCE, "https://ledger.test/")
PLANNER, ANALYST = "spiffe://a.test/planner", "spiffe://a.test/analyst"

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
SIGNER_PEM = generate_key_pem()
SIGNER = load_signer(SIGNER_PEM)


def public_jwk(key: Any, kid: str | None, **members: Any) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    jwk = dict(algorithm.to_jwk(key.public_key(), as_dict=True)) | members
    jwk.pop("key_ops", None)
    return jwk if kid is None else jwk | {"kid": kid}


JWKS = {"keys": [public_jwk(RSA_KEY, "rsa-1"), public_jwk(EC_KEY, "ec-1")]}

ROOT_CLAIMS: Mapping[str, Any] = {
    "iss": ISSUER,
    "sub": "maria",
    "aud": RESOURCE,
    "iat": NOW - 10,
    "exp": NOW + 600,
    "azp": "ide",
    "scope": "ledger.read openid",
    "email": "maria@corp.test",
    "roles": ["lead"],
    "groups": ["finance-leads"],
}
HOP_CLAIMS: Mapping[str, Any] = {
    "iss": GATEWAY,
    "sub": "corp|maria",
    "aud": "https://analyst.test/",
    "client_id": PLANNER,
    "iat": NOW - 10,
    "nbf": NOW - 10,
    "exp": NOW + 110,
    "jti": "j-1",
    "txn": "t-1",
    "scope": "analyst/delegate",
    "del_scope": "ledger/read_balance analyst/delegate",
    "del_depth": 1,
    "del_max_depth": 4,
    "root_exp": NOW + 600,
    "cnf": {"x5t#S256": "A" * 43},
    "act": {"sub": PLANNER},
    "par_hash": "ab" * 32,
    "email": "maria@corp.test",
    "roles": ["lead"],
    "groups": ["finance-leads"],
}


def changed(claims: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """``claims`` with changes; Ellipsis takes a claim away. ``x__y`` is the claim ``x`` with a name no keyword has."""
    return {name: value for name, value in {**claims, **changes}.items() if value is not ...}


def sign(claims: Mapping[str, Any] | bytes, key: Any = RSA_KEY, header: Mapping[str, Any] | None = None) -> str:
    """A JWS by ``key`` of ``claims``; ``header`` adds to or takes away from a good header."""
    rsa_key = isinstance(key, rsa.RSAPrivateKey)
    good = {"alg": "RS256" if rsa_key else "ES256", "typ": "at+jwt", "kid": "rsa-1" if rsa_key else "ec-1"}
    full = changed(good, **(header or {}))
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return by_hand(json.dumps(full).encode(), payload, key, good["alg"])


def by_hand(header: bytes, payload: bytes, key: Any, algorithm: str) -> str:
    """A JWS over exactly these bytes, which no library would write."""
    signing_input = f"{canonical_base64url(header)}.{canonical_base64url(payload)}"
    signer = PyJWS().get_algorithm_by_name(algorithm)
    return f"{signing_input}.{canonical_base64url(signer.sign(signing_input.encode(), signer.prepare_key(key)))}"


def issuer(**changes: Any) -> Issuer:
    good: dict[str, Any] = {
        "name": "corp",
        "issuer": ISSUER,
        "source": JwksUri("https://login.test/jwks"),
        "algorithms": ("RS256", "ES256"),
        "scope_map": {"ledger.read": ("ledger/read_balance",)},
    }
    return Issuer(**(good | changes))


class Loads:
    """A JWKS endpoint that counts its calls; ``answer`` may be an exception."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = json.dumps(JWKS).encode() if answer is None else answer
        self.calls = 0

    async def __call__(self) -> bytes:
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return bytes(self.answer)


def verifier(loads: Loads | None = None, **changes: Any) -> TokenVerifier:
    configured = issuer(**changes)
    keys = KeySet(configured, loads or Loads(), lambda *_: None)
    return TokenVerifier([TrustedIssuer(configured, keys)], OwnIssuer(GATEWAY, SIGNER.verification_keys))


async def accepted(
    token: str, checker: TokenVerifier | None = None, now: int = NOW, peer: Peer | None = None
) -> RootToken | HopToken:
    return await (checker or verifier()).verify(f"Bearer {token}", ROUTE, now, peer=peer)


async def refused(token: str, checker: TokenVerifier | None = None, now: int = NOW, peer: Peer | None = None) -> Reason:
    """The reason for which the token is refused; no part of it may be quoted."""
    try:
        await accepted(token, checker, now, peer)
    except TokenError as error:
        for segment in token.split("."):
            assert len(segment) < 16 or segment not in str(error)
        return error.reason
    raise AssertionError("the token was accepted")
