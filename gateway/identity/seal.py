"""Sealed values: short texts that only this deployment opens, and keyed digests.

AES-256-GCM with a random 96-bit nonce, under a key that another 96 random bits pick (HMAC-SHA256) from one derived for
this use (HKDF-SHA256). NIST SP 800-38D §8.3 allows 2^32 random nonces a key, and events of streams are too many for
one. Doesn't expire or revoke: what is sealed says so itself.
"""

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.identity.jose import canonical_base64url, decode_base64url

MIN_SECRET_BYTES = 32

_PICK_BYTES = 12
_HEAD_BYTES = _PICK_BYTES + 12


class AeadSealer:
    """Fulfils ``core.ports.Sealer``.

    Raises:
        ValueError: the secret is shorter than 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = _derived(secret, b"hopgate seal v2")

    def __repr__(self) -> str:
        return "AeadSealer()"

    def seal(self, plaintext: bytes, context: bytes) -> str:
        """URL-safe text that opens only with the same ``context``."""
        head = secrets.token_bytes(_HEAD_BYTES)
        return canonical_base64url(head + self._picked(head).encrypt(head[_PICK_BYTES:], plaintext, context))

    def open(self, sealed: str, context: bytes) -> bytes | None:
        """The plaintext; None for anything forged, altered, re-encoded or bound to another context."""
        data = decode_base64url(sealed)
        if data is None or len(data) <= _HEAD_BYTES:
            return None
        head = data[:_HEAD_BYTES]
        try:
            return self._picked(head).decrypt(head[_PICK_BYTES:], data[_HEAD_BYTES:], context)
        except InvalidTag:
            return None

    def _picked(self, head: bytes) -> AESGCM:
        return AESGCM(hmac.digest(self._key, head[:_PICK_BYTES], "sha256"))


def digest_key(secret: bytes) -> bytes:
    """The key of ``keyed_digest``, derived apart from the sealing key.

    Raises:
        ValueError: the secret is shorter than 32 bytes.
    """
    return _derived(secret, b"hopgate digest v1")


def keyed_digest(key: bytes, value: bytes) -> str:
    """Hex HMAC-SHA256: equal values look equal, and nobody without the key can guess them."""
    return hmac.new(key, value, hashlib.sha256).hexdigest()


def _derived(secret: bytes, use: bytes) -> bytes:
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"the sealing secret is shorter than {MIN_SECRET_BYTES} bytes")
    return HKDF(SHA256(), length=32, salt=None, info=use).derive(secret)
