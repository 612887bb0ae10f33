"""Header mirrors of the body: ``Mcp-Name`` values and ``Mcp-Param-*`` (MCP 2026-07-28, Streamable HTTP).

A tool's registered input schema says which arguments are mirrored (``x-mcp-header``). The body is what is
authorized; a header only has to agree with it, and is built anew for the upstream. Without a registered
schema nothing is recognized, so nothing is checked and nothing is sent.
"""

import base64
import binascii
import string
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

ANNOTATION = "x-mcp-header"
PREFIX = "Mcp-Param-"
TOKEN = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
MIRRORED_TYPES = frozenset({"string", "integer", "boolean"})
SENTINEL, SENTINEL_END = "=?base64?", "?="


class Mirror(Struct, frozen=True):
    """One argument that is repeated in a header: its path from the root, the header's name, the schema type."""

    path: tuple[str, ...]
    header: str
    type: str


def mirrors(schema: Mapping[str, Any] | None) -> tuple[Mirror, ...]:
    """The mirrored arguments; none at all where an annotation breaks the rules, since clients drop such a tool."""
    found = tuple(_annotated(schema or {}, ()))
    names = [mirror.header.lower() for mirror in found]
    valid = all(
        mirror.type in MIRRORED_TYPES and len(mirror.header) > len(PREFIX) and TOKEN.issuperset(mirror.header)
        for mirror in found
    )
    return found if valid and len(set(names)) == len(names) else ()


def param_headers(schema: Mapping[str, Any] | None, arguments: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The ``Mcp-Param-*`` headers of a call with these arguments."""
    headers = []
    for mirror in mirrors(schema):
        rendered = _render(_value_at(arguments, mirror.path))
        if rendered is not None:
            headers.append((mirror.header, encode_value(rendered)))
    return tuple(headers)


def disagreement(
    schema: Mapping[str, Any] | None, arguments: Mapping[str, Any], headers: Mapping[str, str]
) -> str | None:
    """The first recognized ``Mcp-Param-*`` header that differs from the body, or that only one of both has."""
    for mirror in mirrors(schema):
        sent = headers.get(mirror.header.lower())
        value = _value_at(arguments, mirror.path)
        rendered = _render(value)
        if sent is None and rendered is None:
            continue
        if sent is None or rendered is None or not _agrees(mirror.type, value, rendered, decode_value(sent)):
            return mirror.header
    return None


def encode_value(value: str) -> str:
    """``value`` as a header value; base64 in a sentinel where HTTP would not carry it unchanged."""
    plain = all(" " <= char <= "~" for char in value) and value == value.strip()
    if plain and not (value.startswith(SENTINEL) and value.endswith(SENTINEL_END)):
        return value
    return SENTINEL + base64.b64encode(value.encode()).decode() + SENTINEL_END


def decode_value(value: str) -> str | None:
    """The inverse of ``encode_value``; None for what is not canonical base64 of UTF-8, which so matches nothing."""
    if not (value.startswith(SENTINEL) and value.endswith(SENTINEL_END)):
        return value
    payload = value[len(SENTINEL) : -len(SENTINEL_END)]
    try:
        raw = base64.b64decode(payload, validate=True)
        return raw.decode() if base64.b64encode(raw).decode() == payload else None
    except (binascii.Error, ValueError):
        return None


def _annotated(schema: Any, path: tuple[str, ...]) -> Iterator[Mirror]:
    if not isinstance(schema, Mapping):
        return
    if ANNOTATION in schema:
        yield Mirror(path, f"{PREFIX}{schema[ANNOTATION]}", str(schema.get("type")))
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        for name, inner in properties.items():
            yield from _annotated(inner, (*path, name))


def _value_at(arguments: Any, path: tuple[str, ...]) -> Any:
    value = arguments
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _render(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _agrees(kind: str, value: Any, rendered: str, sent: str | None) -> bool:
    if sent is None or sent == rendered:
        return sent is not None
    if kind != "integer" or isinstance(value, str | bool):
        return False
    whole, _, fraction = sent.partition(".")
    digits = whole.removeprefix("-")
    canonical = digits.isascii() and digits.isdigit() and len(digits) <= len(str(2**63))
    return canonical and not fraction.strip("0") and value == int(whole)
