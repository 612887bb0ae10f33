"""Signs the rules that kernel loaders get: one compact JWS, EdDSA, of the type that they accept and nothing else is of.

A key of its own: no hop token's key is good for rules, and no rules' key for hop tokens. Doesn't say what is signed.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.api_jws import PyJWS

from gateway.identity.signing_key import Jwk, SigningKeyError, public_half, read_private

TYPE = "hopgate-kernel+jwt"


class KernelSigner:
    """The Ed25519 key of a PKCS#8 PEM."""

    def __init__(self, pem: bytes) -> None:
        """Read the key.

        Raises:
            SigningKeyError: it isn't an unencrypted Ed25519 key.
        """
        key = read_private(pem)
        if not isinstance(key, Ed25519PrivateKey):
            raise SigningKeyError("rules for kernels are signed with Ed25519; the key is of another kind")
        self._key = key
        self._public = public_half(key)

    def signed(self, document: bytes) -> bytes:
        """The compact JWS (RFC 7515 §7.1) of ``document``; the same bytes each time (RFC 8032)."""
        head = {"typ": TYPE, "kid": self._public["kid"]}
        return PyJWS().encode(document, self._key, "EdDSA", headers=head).encode("ascii")

    def jwks(self) -> dict[str, list[Jwk]]:
        """The JWK set that loaders pin."""
        return {"keys": [self._public]}
