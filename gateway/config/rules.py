"""Rules for single words of the configuration: each says why a text breaks it, or None.

Pure text rules: nothing is looked up, and rules about two values at once are elsewhere.
"""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from gateway.core.kernel.hosts import known_host
from gateway.core.spiffe import parse_spiffe_id

Rule = Callable[[str], str | None]
"""Takes the text, returns what is wrong with it, lower case and without a full stop."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_CLASS = re.compile(r"[A-Za-z0-9._:/-]{1,63}")
_IDP = re.compile(r"[a-z0-9-]{1,63}")
_LABEL = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,256}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")
_RESOURCE_PATTERN = re.compile(r"[a-z][a-z0-9+.-]*:[^*\x00-\x20\x7f\ud800-\udfff]{0,2000}\*?")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_PIN = re.compile(r"sha256:[0-9a-f]{64}")
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_OWN_HEADERS = re.compile(
    r"accept(-.*)?|a2a-.*|connection|content-.*|cookie|expect|host|keep-alive|mcp-.*|origin|proxy-.*|te|trace.*|"
    r"trailer|transfer-encoding|upgrade|baggage",
)
_URL_CHARACTERS = re.compile(r"[!-~]{1,2048}")


def name(text: str) -> str | None:
    """Names of agents, servers, tools and models; also path segments, so ``.`` and ``..`` are refused."""
    if not _NAME.fullmatch(text) or text in {".", ".."}:
        return f"{text[:140]!r} is not a name: 1 to 128 of A-Z a-z 0-9 _ . - are allowed"
    return None


def idp_name(text: str) -> str | None:
    """Short names of issuers; the first half of every ``sub``."""
    return None if _IDP.fullmatch(text) else f"{text[:80]!r} is not an issuer name: 1 to 63 of a-z 0-9 - are allowed"


def person_id(text: str) -> str | None:
    """``<idp>|<subject>``."""
    idp, bar, subject = text.partition("|")
    if not bar or idp_name(idp) or label(subject):
        return f"{text[:140]!r} is not a person's id: write <issuer name>|<subject of their tokens>"
    return None


def label(text: str) -> str | None:
    """Names of teams, groups, classes, sets, capabilities and environments."""
    return None if _LABEL.fullmatch(text) else "1 to 256 characters are allowed, and no control characters"


def scope(text: str) -> str | None:
    """A scope token (RFC 6749 §3.3)."""
    if _SCOPE.fullmatch(text):
        return None
    return f"{text[:140]!r} is not a scope: 1 to 256 printable ASCII characters but space, quote and backslash"


def pin(text: str) -> str | None:
    """The digest of a tool's definition."""
    return None if _PIN.fullmatch(text) else f"{text[:80]!r} is not a pin: sha256: and 64 of 0-9 a-f"


def resource_pattern(text: str) -> str | None:
    """A resource's URI, or the beginning of one and ``*``; its scheme in lower case."""
    if not _RESOURCE_PATTERN.fullmatch(text):
        return f"{text[:140]!r} is not a URI with its scheme in lower case, or the beginning of one and * at the end"
    return None


def prompt_pattern(text: str) -> str | None:
    """A prompt's name, or the beginning of one and ``*``."""
    if not text.isprintable() or "*" in text[:-1]:
        return f"{text[:140]!r} is not a prompt's name, or the beginning of one and * at the end"
    return None


def trust_domain(text: str) -> str | None:
    """A SPIFFE trust domain name, without scheme."""
    if text.startswith("spiffe://"):
        return "a trust domain is written without spiffe://"
    return None if _TRUST_DOMAIN.fullmatch(text) else f"{text[:140]!r} is not a trust domain: a-z 0-9 . - _ are allowed"


def socket_path(text: str) -> str | None:
    """The path of a Unix socket; the kernel takes at most 107 bytes."""
    if text.startswith("unix:"):
        return f"a socket is written without unix:, as {text.removeprefix('unix:').removeprefix('//')[:140]}"
    return None if len(text.encode()) <= 107 else "the path of a Unix socket has at most 107 bytes"


def network(text: str) -> str | None:
    """A network in CIDR notation, without host bits."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return f"{text[:80]!r} is not a network: write one as 10.0.0.0/8 or fd00::/8, without host bits"
    return None


def destination_host(text: str) -> str | None:
    """A host of connections as the kernel's rules write it (``core.kernel.hosts``)."""
    host = known_host(text)
    if host is None:
        return f"{text[:80]!r} is neither a name, nor an address, nor a network like 10.0.0.0/8 without host bits"
    return None if host.text == text else f"{text[:80]!r} has another form in rules: write {host.text}"


def class_name(text: str) -> str | None:
    """The name of a class that the kernel knows (``core.kernel.rules``)."""
    if _CLASS.fullmatch(text):
        return None
    return f"{text[:80]!r} is no name of a class: 1 to 63 of A-Z a-z 0-9 . _ : / - are allowed"


def spiffe_id(text: str) -> str | None:
    """A SPIFFE ID of a workload (``core.spiffe``)."""
    try:
        parse_spiffe_id(text)
    except ValueError as error:
        return str(error)
    return None


def https_url(text: str) -> str | None:
    """An ``https`` URL without user, query and fragment."""
    return _url(text, frozenset({"https"}))


def web_url(text: str) -> str | None:
    """As ``https_url``, or ``http``."""
    return _url(text, frozenset({"https", "http"}))


def loopback_or_https_url(text: str) -> str | None:
    """As ``https_url``, or ``http`` to this host."""
    fault = _url(text, frozenset({"https", "http"}))
    if fault is None and text.startswith("http:") and not is_loopback(text):
        return "plain http is for loopback addresses only: use https"
    return fault


def origin_url(text: str) -> str | None:
    """An ``https`` URL of scheme, host and port alone (RFC 6454)."""
    return https_url(text) or _bare_origin(text)


def web_origin(text: str) -> str | None:
    """An ``http`` or ``https`` origin, as browsers send it."""
    return web_url(text) or _bare_origin(text)


def host_header(text: str) -> str | None:
    """A Host header's value: ``name`` or ``name:port`` (RFC 9110 §7.2)."""
    if https_url(f"https://{text}") or "/" in text:
        return f"{text[:140]!r} is not a host: write name or name:port"
    return None


def header_name(text: str) -> str | None:
    """A header that holds a credential: none that HTTP or a protocol of the data path uses itself."""
    if not _HEADER_NAME.fullmatch(text):
        return f"{text[:80]!r} is not a header name: a letter, then up to 63 of A-Z a-z 0-9 - are allowed"
    if _OWN_HEADERS.fullmatch(text.lower()):
        return f"the header {text} is set by the gateway itself"
    return None


def sqlite_url(text: str) -> str | None:
    """``sqlite:///PATH``: the one store that is served now."""
    path = text.removeprefix("sqlite:///")
    if path == text or not path or path == ":memory:" or "?" in path:
        return "the store is not a SQLite file: write sqlite:///PATH"
    return None


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this host by its spelling: ``localhost`` or a loopback address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(text: str, schemes: frozenset[str]) -> str | None:
    if not _URL_CHARACTERS.fullmatch(text):
        return "a URL has 1 to 2048 printable ASCII characters and no spaces"
    try:
        split = urlsplit(text)
    except ValueError:
        return f"{text[:140]!r} is not a URL"
    if split.username is not None or split.password is not None:
        return "a URL here names no user or password"
    if split.scheme not in schemes or not text.startswith(f"{split.scheme}://"):
        return f"{text[:140]!r} does not begin with {' or '.join(f'{known}://' for known in sorted(schemes))}"
    if not split.hostname or _port_fault(split):
        return f"{text[:140]!r} has no usable host and port"
    if "?" in text or "#" in text or "\\" in text:
        return f"{text[:140]!r} has a query, fragment or backslash, which is not allowed here"
    return None


def _port_fault(split: SplitResult) -> bool:
    try:
        return split.port == 0 or split.netloc.endswith(":")
    except ValueError:
        return True


def _bare_origin(text: str) -> str | None:
    if urlsplit(text).path:
        return f"{text[:140]!r} has a path or ends in a slash: write scheme, host and port only"
    return None
