"""Strict reading of one compact JWS (RFC 7515 §7.1). Nothing here is verified.

Refuses every second spelling of a token: padding, stray bits, duplicate or unencodable JSON members.
So one token has one digest, and every reader of it sees the same claims. Doesn't choose keys, check
signatures or judge claims (``identity.tokens``).
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from gateway.core.errors import ProtocolError, TokenError
from gateway.core.limits import Limits
from gateway.core.reasons import Reason
from gateway.protocols.jsonrpc import parse_json

MAX_KID_CHARS = 256

_LIMITS = Limits(json_depth=32)
_BASE64URL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_KID_CHARS = _BASE64URL | frozenset(".:+/=@~")
"""A kid is compared, never resolved; the set covers base64, URNs and URLs without a query."""


class UnverifiedJws(Struct, frozen=True):
    """A well-formed token whose signature is still to be checked. Its parts are secrets: it has no repr."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signing_input: bytes
    signature: bytes

    def __repr__(self) -> str:
        return "UnverifiedJws()"

    @property
    def algorithm(self) -> str:
        """``alg`` as claimed."""
        return str(self.header["alg"])

    @property
    def kid(self) -> str | None:
        """``kid`` as claimed; a safe string."""
        return self.header.get("kid")

    @property
    def type(self) -> str:
        """``typ`` in lower case and without ``application/`` (RFC 7515 §4.1.9); empty where absent."""
        return str(self.header.get("typ", "")).lower().removeprefix("application/")

    @property
    def digest(self) -> str:
        """Hex SHA-256 of ``header.payload``: the token's identity. Never of the signature, which is malleable."""
        return hashlib.sha256(self.signing_input).hexdigest()


def parse_compact(token: str, max_bytes: int) -> UnverifiedJws:
    """Read a token of at most ``max_bytes``.

    Raises:
        TokenError: TOKEN_MALFORMED.
    """
    if len(token) > max_bytes:
        raise _malformed(f"it is longer than {max_bytes} bytes")
    segments = token.split(".")
    if len(segments) != 3:
        raise _malformed("it has not three segments")
    header = parse_protected(segments[0])
    claims = _object(_decode(segments[1]), "claims")
    return UnverifiedJws(header, claims, f"{segments[0]}.{segments[1]}".encode("ascii"), _decode(segments[2]))


@lru_cache(256)
def parse_protected(segment: str) -> Mapping[str, Any]:
    """Read a protected header: ``alg`` is there, no extension is asked for, ``kid`` is a plain identifier.

    It is the same in most tokens of an issuer, and no secret, so it is remembered.

    Raises:
        TokenError: TOKEN_MALFORMED.
    """
    header = _object(_decode(segment), "header")
    _check_header(header)
    return header


def canonical_base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes | None:
    """The bytes of canonical, unpadded base64url; None for anything else."""
    if not text or not _BASE64URL.issuperset(text):
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return data if canonical_base64url(data) == text else None


def strict_object(data: bytes) -> dict[str, Any]:
    """One JSON object, as strict as a message body: UTF-8, unique names, finite numbers, bounded depth.

    Raises:
        ValueError: what is wrong, without the value.
    """
    try:
        value = parse_json(data, _LIMITS)
    except ProtocolError as error:
        raise ValueError(error.detail) from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _decode(segment: str) -> bytes:
    data = decode_base64url(segment)
    if data is None:
        raise _malformed("a segment is not canonical base64url")
    return data


def _object(data: bytes, part: str) -> dict[str, Any]:
    try:
        return strict_object(data)
    except ValueError as error:
        raise _malformed(f"its {part}: {error}") from None


def _check_header(header: Mapping[str, Any]) -> None:
    if not isinstance(header.get("alg"), str):
        raise _malformed("its header has no alg")
    if "crit" in header or "b64" in header:
        raise _malformed("its header asks for an extension (crit)")
    if not isinstance(header.get("typ", ""), str):
        raise _malformed("its typ is not a string")
    if "kid" in header and not _is_safe_kid(header["kid"]):
        raise _malformed("its kid is not a plain identifier")


def _is_safe_kid(kid: object) -> bool:
    return isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS and _KID_CHARS.issuperset(kid) and ".." not in kid


def _malformed(detail: str) -> TokenError:
    return TokenError(Reason.TOKEN_MALFORMED, f"the token is malformed: {detail}")
