"""The gateway's own ES256 key: signs hop tokens and cards, and publishes its public half.

Doesn't decide what is signed: claims come from ``core.delegation``. Private keys never leave this file.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import ECAlgorithm

from gateway.identity.jose import canonical_base64url
from gateway.identity.jwks import Keys

ALGORITHM = "ES256"
HOP_TOKEN_TYPE = "at+jwt"
EXCHANGED_TOKEN_TYPE = "hopgate-at+jwt"
"""Of tokens for the gateway's own routes: an upstream, which may have the same audience, must not take one."""
MAX_PREVIOUS = 8


class SigningKeyError(ValueError):
    """A signing key can't be used. The text never holds key material."""


class Signer:
    """Signs with the current key; ``jwks`` also names the previous ones, whose tokens still verify."""

    def __init__(self, current: ec.EllipticCurvePrivateKey, previous: Sequence[ec.EllipticCurvePublicKey] = ()) -> None:
        public = (current.public_key(), *previous)
        if not all(isinstance(key.curve, ec.SECP256R1) for key in public):
            raise SigningKeyError("a signing key is not on P-256, as ES256 needs")
        self._current = current
        self._previous = tuple(previous)
        jwks = [_public_jwk(key) for key in public]
        self._jwks = {"keys": list({jwk["kid"]: jwk for jwk in jwks}.values())}
        self._algorithm = ECAlgorithm(ECAlgorithm.SHA256)
        self.kid = str(jwks[0]["kid"])
        """RFC 7638 thumbprint of the current key."""
        self._hop_header = self._protected({"typ": HOP_TOKEN_TYPE})
        self.verification_keys = Keys(self._jwks["keys"], [ALGORITHM])

    def __repr__(self) -> str:
        return f"Signer(kid={self.kid!r})"

    def succeeded_by(self, newer: "Signer") -> "Signer":
        """``newer``, still publishing this one's keys: tokens that are under way verify until they end."""
        if newer.kid == self.kid:
            return self
        kept = (self._current.public_key(), *self._previous)[:MAX_PREVIOUS]
        return Signer(newer._current, kept)

    def sign(self, claims: Mapping[str, Any], kind: str = HOP_TOKEN_TYPE) -> str:
        """A compact JWS of ``claims``, by default with ``typ: at+jwt`` (RFC 9068 §2.1). A secret."""
        payload = json.dumps(claims, separators=(",", ":"), allow_nan=False).encode()
        return self._compact(self._hop_header if kind == HOP_TOKEN_TYPE else self._protected({"typ": kind}), payload)

    def sign_bytes(self, payload: bytes, header: Mapping[str, str]) -> str:
        """A compact JWS of exactly these bytes; ``alg`` and ``kid`` are added to the protected header."""
        return self._compact(self._protected(header), payload)

    def _protected(self, header: Mapping[str, str]) -> str:
        members = {"alg": ALGORITHM, "kid": self.kid, **header}
        return canonical_base64url(json.dumps(members, separators=(",", ":")).encode())

    def _compact(self, protected: str, payload: bytes) -> str:
        # RFC 7515 §7.1, without a library's checks of a header that is our own.
        signing_input = f"{protected}.{canonical_base64url(payload)}"
        signature = self._algorithm.sign(signing_input.encode(), self._current)
        return f"{signing_input}.{canonical_base64url(signature)}"

    def jwks(self) -> dict[str, list[dict[str, str]]]:
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


def generate_key_pem() -> bytes:
    """A new P-256 private key as unencrypted PKCS#8 PEM. A secret: the caller stores it with mode 0600."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_signer(current_pem: bytes, previous_pem: Sequence[bytes] = ()) -> Signer:
    """A signer of PKCS#8 PEM keys; of the previous ones only the public half is kept.

    Raises:
        SigningKeyError: not an unencrypted P-256 private key.
    """
    return Signer(_private_key(current_pem), [_private_key(pem).public_key() for pem in previous_pem])


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SigningKeyError("the signing key is not an unencrypted PEM private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SigningKeyError("the signing key is not on P-256, as ES256 needs")
    return key


def _public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    members = ECAlgorithm.to_jwk(key, as_dict=True)
    required = {name: str(members[name]) for name in ("crv", "kty", "x", "y")}
    # RFC 7638 §3.2: the required members only, in lexicographic order, without whitespace.
    thumbprint = hashlib.sha256(json.dumps(required, separators=(",", ":"), sort_keys=True).encode()).digest()
    return required | {"kid": canonical_base64url(thumbprint), "alg": ALGORITHM, "use": "sig"}
