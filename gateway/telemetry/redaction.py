"""Keeps secrets out of logs: fields by their name, tokens and keys by their shape, at any depth.

The last line of defence: callers don't log secrets in the first place. Errs on the side of hiding.
"""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

HIDDEN = "[redacted]"
MOST_CHARACTERS = 16 * 1024
_DEPTH = 6
_ITEMS = 200

_SECRET_KEY = re.compile(
    "authori[sz]ation|token|cookie|secret|passw|credential|assertion|session|private.?key|api.?key|signing.?key|jwt|"
    "bearer|signature",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"""
      \b(?P<scheme>bearer|basic|dpop)(?:\s|%20|\+)+[^\s"',;]+       # RFC 9110 credentials
    | e(?:yJ|yA|w[ok0])[A-Za-z0-9_=-]{8,}(?:\.[A-Za-z0-9_=-]*)*     # base64url of {": JOSE header or claims
    | (?<![A-Za-z0-9_-])                                           # any compact JWS, whatever its header
      [A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
    | \bhopgate=[A-Za-z0-9]{8,}                                     # a handle of a trace state
    | -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----.*                       # PEM
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def redact_text(text: str) -> str:
    """``text`` without what looks like a token, credentials or a private key; cut to 16 Ki characters."""
    cut = text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
    return _SECRET_VALUE.sub(lambda match: f"{match['scheme']} {HIDDEN}" if match["scheme"] else HIDDEN, cut)


def redact(value: Any, depth: int = 0) -> Any:
    """``value`` as plain log data, without secrets. Bytes are never shown."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if depth >= _DEPTH:
        return "[…]"
    if isinstance(value, Mapping):
        return {
            redact_text(str(key)): HIDDEN if _SECRET_KEY.search(str(key)) else redact(each, depth + 1)
            for key, each in list(value.items())[:_ITEMS]
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(each, depth + 1) for each in list(value)[:_ITEMS]]
    return redact_text(str(value))


def redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor: the whole event, redacted."""
    cleaned: Mapping[str, Any] = redact(event)
    return cleaned
