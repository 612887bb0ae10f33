"""Signatures of webhooks: Standard Webhooks 1.0 (HMAC-SHA256 and Ed25519) both ways, and Slack's of its requests.

Says whether who holds a secret signed exactly these bytes within the window. Doesn't remember what was presented before
(``core.ports.SingleUse`` does), or say who a person is.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

WINDOW_SECONDS = 300
"""How old, or how far in the future, a signed moment may be."""
HMAC_BYTES = range(24, 65)
ED25519_BYTES = 32
MOST_SIGNATURES = 16
MOST_ID_CHARS = 256


class WebhookKeyError(ValueError):
    """The text is no key of this kind. Never repeats it."""


class WebhookSignatureError(Exception):
    """The request isn't signed by who it should be, or not now. The text names the cause."""


class SigningKey(Struct, frozen=True):
    """One secret that signs: the bytes of HMAC, or a private key."""

    secret: bytes | Ed25519PrivateKey

    def __repr__(self) -> str:
        return "SigningKey()"

    def sign(self, content: bytes) -> str:
        """``v1,<base64>`` or ``v1a,<base64>``."""
        if isinstance(self.secret, bytes):
            return f"v1,{base64.b64encode(hmac.digest(self.secret, content, 'sha256')).decode()}"
        return f"v1a,{base64.b64encode(self.secret.sign(content)).decode()}"


class VerifyingKey(Struct, frozen=True):
    """One secret, or public key, that verifies."""

    secret: bytes | Ed25519PublicKey

    def __repr__(self) -> str:
        return "VerifyingKey()"

    def verifies(self, signature: str, content: bytes) -> bool:
        """Whether ``signature`` is this key's of ``content``."""
        version, _, encoded = signature.partition(",")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        if isinstance(self.secret, bytes):
            return version == "v1" and hmac.compare_digest(raw, hmac.digest(self.secret, content, "sha256"))
        if version != "v1a":
            return False
        try:
            self.secret.verify(raw, content)
        except InvalidSignature:
            return False
        return True


def signing_key(text: bytes) -> SigningKey:
    """The key of ``whsec_<base64>`` (HMAC, 24-64 bytes) or ``whsk_<base64>`` (Ed25519, seed, or seed and public key).

    Raises:
        WebhookKeyError: it is neither.
    """
    kind, raw = _decoded(text)
    if kind == "whsec" and len(raw) in HMAC_BYTES:
        return SigningKey(raw)
    if kind == "whsk" and len(raw) in (ED25519_BYTES, 2 * ED25519_BYTES):
        return SigningKey(Ed25519PrivateKey.from_private_bytes(raw[:ED25519_BYTES]))
    raise WebhookKeyError("it is neither whsec_ and 24 to 64 bytes in base64, nor whsk_ and an Ed25519 key")


def verifying_key(text: bytes) -> VerifyingKey:
    """The key of ``whsec_<base64>`` or ``whpk_<base64>`` (an Ed25519 public key).

    Raises:
        WebhookKeyError: it is neither.
    """
    kind, raw = _decoded(text)
    if kind == "whsec" and len(raw) in HMAC_BYTES:
        return VerifyingKey(raw)
    if kind == "whpk" and len(raw) == ED25519_BYTES:
        return VerifyingKey(Ed25519PublicKey.from_public_bytes(raw))
    raise WebhookKeyError("it is neither whsec_ and 24 to 64 bytes in base64, nor whpk_ and an Ed25519 public key")


def signed_headers(keys: Sequence[SigningKey], name: str, now: int, body: bytes) -> Mapping[str, str]:
    """The headers of one attempt. ``now`` in Unix seconds; every key signs: a receiver needs any one of them."""
    content = _content(name, str(now), body)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(key.sign(content) for key in keys),
    }


def verified(keys: Sequence[VerifyingKey], headers: Mapping[str, str], body: bytes, now: int) -> tuple[str, int]:
    """Id and moment of a request that one of ``keys`` signed. ``now`` in Unix seconds, ``headers`` in lower case.

    Raises:
        WebhookSignatureError: it isn't signed so, or not within the window.
    """
    name, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not 0 < len(name) <= MOST_ID_CHARS or not name.isascii() or not name.isprintable():
        raise WebhookSignatureError("webhook-id is missing, or none")
    at = _within(moment, now, "webhook-timestamp")
    signatures = headers.get("webhook-signature", "").split()
    if not signatures or len(signatures) > MOST_SIGNATURES:
        raise WebhookSignatureError(f"webhook-signature holds none, or more than {MOST_SIGNATURES}")
    content = _content(name, moment, body)
    if not any(key.verifies(signature, content) for key in keys for signature in signatures):
        raise WebhookSignatureError("no signature is of a key of the integration")
    return name, at


def verified_slack(secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: int) -> tuple[str, int]:
    """Signature and moment of a request that Slack signed with one of its signing secrets (version v0).

    Raises:
        WebhookSignatureError: it isn't signed so, or not within the window.
    """
    moment, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    at = _within(moment, now, "x-slack-request-timestamp")
    content = b"v0:" + moment.encode() + b":" + body
    given = signature.encode()
    if not any(hmac.compare_digest(given, b"v0=" + _hex(secret, content)) for secret in secrets):
        raise WebhookSignatureError("x-slack-signature is not of a signing secret of the integration")
    return signature, at


def _hex(secret: bytes, content: bytes) -> bytes:
    return hmac.digest(secret, content, "sha256").hex().encode()


def _within(moment: str, now: int, header: str) -> int:
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 12):
        raise WebhookSignatureError(f"{header} is missing, or no Unix time")
    if abs(now - int(moment)) > WINDOW_SECONDS:
        raise WebhookSignatureError(f"{header} is more than {WINDOW_SECONDS} s away; check the clocks")
    return int(moment)


def _content(name: str, moment: str, body: bytes) -> bytes:
    return b".".join((name.encode(), moment.encode(), body))


def _decoded(text: bytes) -> tuple[str, bytes]:
    kind, _, encoded = text.strip().partition(b"_")
    try:
        return kind.decode(), base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise WebhookKeyError("it is no whsec_, whsk_ or whpk_ with base64") from None
