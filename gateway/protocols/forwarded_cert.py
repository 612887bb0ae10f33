"""``x-forwarded-client-cert`` as Envoy writes it: whose certificate its own caller showed.

Reads exactly what ``forward_client_cert_details: SANITIZE_SET`` yields: one element, with one URI. Everything else
is refused, since more elements are other proxies' word, and a second URI may be text that a certificate smuggled into
a value that Envoy does not quote. Only the URI is used. Doesn't decide whose header is believed
(``proxy.callers``).
"""

from gateway.core.model import SpiffeId
from gateway.core.spiffe import parse_spiffe_id

HEADER = "x-forwarded-client-cert"
MAX_CHARS = 16 * 1024
ONCE = frozenset({"by", "hash", "cert", "chain", "subject", "uri"})
KEYS = ONCE | {"dns"}


class ForwardedCertError(ValueError):
    """The header names not exactly one workload. The text says which rule it breaks, and quotes nothing."""


def forwarded_id(value: str) -> SpiffeId:
    """The SPIFFE ID of the one element's one URI.

    Raises:
        ForwardedCertError: another number of elements or URIs, an unknown or repeated key, or no SPIFFE ID.
    """
    uri: str | None = None
    seen: set[str] = set()
    for key, text in _pairs(value):
        if key not in KEYS or (key in seen and key in ONCE):
            raise ForwardedCertError("it has an unknown key, or one twice")
        if key == "uri":
            # Envoy writes DNS names last and unquoted: a URI behind one may be a part of that name.
            if "dns" in seen:
                raise ForwardedCertError("its URI comes after a DNS name")
            uri = text
        seen.add(key)
    if uri is None:
        raise ForwardedCertError("it has no URI: the caller's certificate is no SVID, or set uri: true")
    try:
        return parse_spiffe_id(uri)
    except ValueError as error:
        raise ForwardedCertError(f"its URI is no SPIFFE ID: {error}") from None


def _pairs(value: str) -> list[tuple[str, str]]:
    """Keys in lower case, and their values without quotes."""
    if len(value) > MAX_CHARS:
        raise ForwardedCertError(f"it is longer than {MAX_CHARS} characters")
    found: list[tuple[str, str]] = []
    rest = value
    while True:
        key, equals, rest = rest.partition("=")
        if not equals or not key.isascii() or not key.isalpha():
            raise ForwardedCertError("it is not made of key=value pairs")
        text, rest = _quoted(rest[1:]) if rest.startswith('"') else _plain(rest)
        found.append((key.lower(), text))
        if not rest:
            return found
        if rest[0] == ",":
            raise ForwardedCertError("it has more than one element; set SANITIZE_SET")
        if rest[0] != ";":
            raise ForwardedCertError("something follows a quoted value")
        rest = rest[1:]


def _plain(rest: str) -> tuple[str, str]:
    """Up to the next separator; where Envoy would have quoted, it isn't plain."""
    end = next((index for index, char in enumerate(rest) if char in ';,"='), len(rest))
    if end < len(rest) and rest[end] in '"=':
        raise ForwardedCertError("a value needs quotes and has none")
    return rest[:end], rest[end:]


def _quoted(rest: str) -> tuple[str, str]:
    """What stands before the closing quote, a backslash taking its next character as it is; and what comes behind."""
    text, escaped = "", False
    for index, char in enumerate(rest):
        if char == '"' and not escaped:
            return text, rest[index + 1 :]
        escaped = char == "\\" and not escaped
        text += "" if escaped else char
    raise ForwardedCertError("a quote does not end")
