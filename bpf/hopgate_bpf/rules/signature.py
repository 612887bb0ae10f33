"""Whether a document was signed by a pinned key (RFC 7515 compact serialization, RFC 8037 Ed25519).

Decides nothing about what was signed: ``rules.reading`` does. Reads no file: the pinned keys are passed in.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from jwt import PyJWK
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError
from jwt.utils import base64url_decode
from msgspec import Meta, Struct

from hopgate_bpf.rules.refusal import Reason, RefusedError

TYPE = "hopgate-kernel+jwt"
ALGORITHM = "EdDSA"
MAX_KEYS = 16
MAX_KEYS_BYTES = 64 * 1024
MAX_HEADER_CHARS = 1024

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_Kid = Annotated[str, Meta(min_length=1, max_length=256)]


class Header(Struct, frozen=True, forbid_unknown_fields=True):
    """The protected header, with these three members and no other."""

    alg: str
    kid: _Kid
    typ: str


class _Jwk(Struct, frozen=True, forbid_unknown_fields=True):
    kid: _Kid
    x: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{43}$")]
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    alg: Literal["EdDSA", "Ed25519"] | None = None
    use: Literal["sig"] | None = None
    key_ops: list[Literal["verify"]] | None = None


class _JwkSet(Struct, frozen=True, forbid_unknown_fields=True):
    keys: Annotated[list[_Jwk], Meta(min_length=1, max_length=MAX_KEYS)]


PinnedKeys = Mapping[str, PyJWK]
"""kid → public key."""


def read_pinned_keys(text: bytes, file: str) -> PinnedKeys:
    """The public keys of a JWK set (RFC 7517 §5) of Ed25519 keys, each with a kid of its own.

    ``file`` is the name that refusals give.

    Raises:
        RefusedError: KEYS_UNREADABLE; a private key is refused like any unknown member.
    """
    if len(text) > MAX_KEYS_BYTES:
        raise RefusedError(Reason.KEYS_UNREADABLE, f"{file} is larger than {MAX_KEYS_BYTES} bytes")
    try:
        found = msgspec.json.decode(text, type=_JwkSet)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message, _, place = str(error).partition(" - at ")
        raise RefusedError(Reason.KEYS_UNREADABLE, f"{file}: {message}", place.strip("`")) from None
    keys: dict[str, PyJWK] = {}
    for index, key in enumerate(found.keys):
        if key.kid in keys:
            raise RefusedError(Reason.KEYS_UNREADABLE, f"{file}: two keys have this kid", f"$.keys[{index}].kid")
        try:
            keys[key.kid] = PyJWK({"kty": key.kty, "crv": key.crv, "x": key.x}, ALGORITHM)
        except PyJWTError as error:
            raise RefusedError(Reason.KEYS_UNREADABLE, f"{file}: {error}", f"$.keys[{index}].x") from None
    return keys


def verified_payload(token: bytes, keys: PinnedKeys, most: int) -> bytes:
    """The payload of ``token``, a compact JWS of at most ``most`` bytes, if a pinned key signed it.

    Raises:
        RefusedError: BODY_TOO_LARGE, SIGNATURE_MALFORMED, SIGNATURE_TYPE, KEY_UNKNOWN, SIGNATURE_INVALID.
    """
    header = _header(token, most)
    if header.typ.lower().removeprefix("application/") != TYPE:
        raise RefusedError(Reason.SIGNATURE_TYPE, f"typ is {header.typ[:60]!r}, not {TYPE}")
    if header.alg != ALGORITHM:
        raise RefusedError(Reason.SIGNATURE_TYPE, f"alg is {header.alg[:60]!r}, not {ALGORITHM}")
    key = keys.get(header.kid)
    if key is None:
        raise RefusedError(Reason.KEY_UNKNOWN, f"kid is {header.kid[:120]!r}, pinned are {', '.join(sorted(keys))}")
    try:
        decoded: dict[str, Any] = PyJWS().decode_complete(token, key, algorithms=[ALGORITHM])
    except PyJWTError:
        raise RefusedError(Reason.SIGNATURE_INVALID, f"the signature is not by the key {header.kid[:120]!r}") from None
    payload: bytes = decoded["payload"]
    return payload


def _header(token: bytes, most: int) -> Header:
    if len(token) > most:
        raise RefusedError(Reason.BODY_TOO_LARGE, f"the limit is {most} bytes")
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise RefusedError(Reason.SIGNATURE_MALFORMED, "it is not three segments of base64url with dots between")
    if len(parts[1]) > MAX_HEADER_CHARS:
        raise RefusedError(Reason.SIGNATURE_MALFORMED, f"its header is longer than {MAX_HEADER_CHARS} characters")
    try:
        return msgspec.json.decode(base64url_decode(parts[1]), type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise RefusedError(Reason.SIGNATURE_MALFORMED, f"its header: {error}") from None
