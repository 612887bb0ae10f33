"""The gateway's own signature: on hop tokens and cards, by the current key; and the public halves it publishes.

Doesn't decide what is signed: claims come from ``core.delegation``. A private key never leaves it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.identity.jose import canonical_base64url
from gateway.identity.jwks import Keys
from gateway.identity.signing_key import (
    ALGORITHMS,
    Algorithm,
    Jwk,
    PrivateKey,
    SigningKeyError,
    algorithm_of,
    generate,
    private_pem,
    public_half,
    read_private,
    signature,
)

HOP_TOKEN_TYPE = "at+jwt"
EXCHANGED_TOKEN_TYPE = "hopgate-at+jwt"
"""Of tokens for the gateway's own routes: an upstream, which may have the same audience, must not take one."""
MAX_PREVIOUS = 8


def always() -> None:
    """The keys may be used: nothing can have distrusted them meanwhile."""


class Signer:
    """Signs with the current key; ``jwks`` also names others, whose tokens still verify or soon will.

    ``require`` is asked before each use and raises where the keys may not be used at present.
    """

    def __init__(self, current: PrivateKey, others: Sequence[Jwk] = (), require: Callable[[], None] = always) -> None:
        self._current = current
        self.require = require
        jwks = [public_half(current), *others]
        self._jwks = {"keys": list({jwk["kid"]: jwk for jwk in jwks}.values())}
        self.algorithm: Algorithm = algorithm_of(current)
        self.kid = jwks[0]["kid"]
        """RFC 7638 thumbprint of the current key."""
        self._hop_header = self._protected({"typ": HOP_TOKEN_TYPE})
        self.verification_keys = Keys(self._jwks["keys"], ALGORITHMS)

    def __repr__(self) -> str:
        return f"Signer(kid={self.kid!r})"

    def succeeded_by(self, newer: "Signer") -> "Signer":
        """``newer``, still publishing this one's keys: tokens that are under way verify until they end."""
        if newer.kid == self.kid:
            return self
        return Signer(newer._current, self._jwks["keys"][:MAX_PREVIOUS])

    def sign(self, claims: Mapping[str, Any], kind: str = HOP_TOKEN_TYPE) -> str:
        """A compact JWS of ``claims``, by default with ``typ: at+jwt`` (RFC 9068 §2.1). A secret.

        Raises:
            HopError: ``require`` says that the keys may not be used.
        """
        payload = json.dumps(claims, separators=(",", ":"), allow_nan=False).encode()
        return self._compact(self._hop_header if kind == HOP_TOKEN_TYPE else self._protected({"typ": kind}), payload)

    def sign_bytes(self, payload: bytes, header: Mapping[str, str]) -> str:
        """A compact JWS of exactly these bytes; ``alg`` and ``kid`` are added to the protected header.

        Raises:
            HopError: ``require`` says that the keys may not be used.
        """
        return self._compact(self._protected(header), payload)

    def _protected(self, header: Mapping[str, str]) -> str:
        members = {"alg": self.algorithm, "kid": self.kid, **header}
        return canonical_base64url(json.dumps(members, separators=(",", ":")).encode())

    def _compact(self, protected: str, payload: bytes) -> str:
        self.require()
        # RFC 7515 §7.1, without a library's checks of a header that is our own.
        signing_input = f"{protected}.{canonical_base64url(payload)}"
        return f"{signing_input}.{canonical_base64url(signature(self._current, signing_input.encode()))}"

    def jwks(self) -> dict[str, list[Jwk]]:
        """The public keys, current first (RFC 7517 §5)."""
        return {"keys": [dict(jwk) for jwk in self._jwks["keys"]]}


def metadata(issuer: str, token_endpoint: str, grant_types: Sequence[str]) -> dict[str, Any]:
    """Authorization server metadata (RFC 8414 §2, RFC 8705 §3.3 and §5) of ``issuer``.

    The only endpoint needs a client certificate, so it is its own alias. ``response_types_supported`` is required.
    """
    return {
        "issuer": issuer,
        "jwks_uri": jwks_url(issuer),
        "token_endpoint": token_endpoint,
        "mtls_endpoint_aliases": {"token_endpoint": token_endpoint},
        "token_endpoint_auth_methods_supported": ["tls_client_auth"],
        "grant_types_supported": list(grant_types),
        "response_types_supported": [],
        "tls_client_certificate_bound_access_tokens": True,
    }


def jwks_url(issuer: str) -> str:
    """Where the gateway's own JWKS is published."""
    return f"{issuer.rstrip('/')}/.well-known/jwks.json"


def generate_key_pem(algorithm: Algorithm = "ES256", passphrase: bytes | None = None) -> bytes:
    """A new private key as PKCS#8 PEM. A secret: the caller stores it with mode 0600."""
    return private_pem(generate(algorithm), passphrase)


def load_signer(
    current_pem: bytes,
    previous_pem: Sequence[bytes] = (),
    *,
    passphrase: bytes | None = None,
    algorithm: Algorithm | None = None,
) -> Signer:
    """A signer of PKCS#8 PEM keys; of the previous ones only the public half is kept.

    ``passphrase`` decrypts them all; ``algorithm`` is what the current key has to be for, if it matters.

    Raises:
        SigningKeyError: no private key for ES256 or EdDSA, encrypted otherwise, or for the other algorithm.
    """
    current = read_private(current_pem, passphrase)
    if algorithm is not None and algorithm_of(current) != algorithm:
        raise SigningKeyError(f"the signing key is not for {algorithm}; set algorithm: {algorithm_of(current)}")
    return Signer(current, [public_half(read_private(pem, passphrase)) for pem in previous_pem])
