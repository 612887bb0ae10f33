"""One key that signs: making it, reading it, and its public half as a JWK (RFC 7517, RFC 8037).

ES256 on P-256 or EdDSA on Ed25519, and nothing else. Doesn't sign (``identity.signer``) and doesn't say when a key
is replaced (``core.key_schedule``).
"""

import hashlib
import json
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from gateway.identity.jose import canonical_base64url

Algorithm = Literal["ES256", "EdDSA"]
ALGORITHMS: tuple[Algorithm, ...] = ("ES256", "EdDSA")
PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | Ed25519PublicKey
Jwk = dict[str, str]


class SigningKeyError(ValueError):
    """A signing key can't be used. The text never holds key material."""


def generate(algorithm: Algorithm) -> PrivateKey:
    """A new key for ``algorithm``."""
    return Ed25519PrivateKey.generate() if algorithm == "EdDSA" else ec.generate_private_key(ec.SECP256R1())


def private_pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """PKCS#8 PEM, encrypted where there is a passphrase. A secret: the caller stores it with mode 0600."""
    protection: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        protection = BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def read_private(pem: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """The private key of a PKCS#8 PEM, encrypted exactly where there is a passphrase.

    Raises:
        SigningKeyError: anything else, the wrong passphrase included.
    """
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if passphrase is not None:
            why = "the signing key is not a PEM private key that this passphrase decrypts"
        elif b"ENCRYPTED" in pem:
            why = (
                "the signing key is not an unencrypted PEM private key; set passphrase to a reference to its passphrase"
            )
        else:
            why = "the signing key is not an unencrypted PEM private key"
        raise SigningKeyError(why) from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise SigningKeyError("the signing key is not on P-256, as ES256 needs, and not Ed25519, as EdDSA does")


def algorithm_of(key: PrivateKey | PublicKey) -> Algorithm:
    """What the key signs by."""
    return "EdDSA" if isinstance(key, Ed25519PrivateKey | Ed25519PublicKey) else "ES256"


def signature(key: PrivateKey, message: bytes) -> bytes:
    """The raw JWS signature (RFC 7518 §3.4, RFC 8037 §3.1)."""
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(message)
    return ECAlgorithm(ECAlgorithm.SHA256).sign(message, key)


def public_jwk(key: PublicKey) -> Jwk:
    """The published form; ``kid`` is the RFC 7638 thumbprint."""
    if isinstance(key, Ed25519PublicKey):
        members = OKPAlgorithm.to_jwk(key, as_dict=True)
    else:
        members = ECAlgorithm.to_jwk(key, as_dict=True)
    required = {name: str(members[name]) for name in ("crv", "kty", "x", "y") if name in members}
    # RFC 7638 §3.2, RFC 8037 §2: the required members only, in lexicographic order, without whitespace.
    thumbprint = hashlib.sha256(json.dumps(required, separators=(",", ":"), sort_keys=True).encode()).digest()
    return required | {"kid": canonical_base64url(thumbprint), "alg": algorithm_of(key), "use": "sig"}


def public_half(key: PrivateKey) -> Jwk:
    """``public_jwk`` of the key's public half."""
    return public_jwk(key.public_key())
