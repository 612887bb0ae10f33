"""A request's head, read once and strictly, the same on every listener: Host, Origin, path and query.

Nothing is decoded, joined or normalised. Doesn't know any route.
"""

import string
from collections.abc import Mapping
from urllib.parse import parse_qsl

from msgspec import Struct

from gateway.core.errors import HopError
from gateway.core.reasons import Reason

PATH_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-._~/:")
QUERY_CHARS = 1024
QUERY_FIELDS = 8


class Allowed(Struct, frozen=True):
    """Host names and origins that a listener answers to. Ports of ``Host`` are not compared."""

    hosts: frozenset[str]
    origins: frozenset[str]


def check_host(headers: Mapping[str, str], allowed: Allowed) -> None:
    """Refuse requests that a browser was tricked into (DNS rebinding).

    Raises:
        HopError: HOST_FORBIDDEN or ORIGIN_FORBIDDEN.
    """
    host = headers.get("host", "").lower()
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name.strip("[]") not in allowed.hosts:
        raise HopError(Reason.HOST_FORBIDDEN, "the Host header is not a name of this listener")
    origin = headers.get("origin")
    if origin is not None and origin not in allowed.origins:
        raise HopError(Reason.ORIGIN_FORBIDDEN, "the Origin is not allowed on this listener")


def split_target(target: str, fields: int = QUERY_FIELDS, chars: int = QUERY_CHARS) -> tuple[str, Mapping[str, str]]:
    """Path and query of an origin-form request target; at most ``fields`` and ``chars`` in the query.

    Raises:
        HopError: ROUTE_UNKNOWN for anything but plain path segments (no ``%``, ``\\``, ``//``, ``.`` or
            ``..`` segment, no absolute form); MESSAGE_INVALID for a query with repeated or too many fields.
    """
    path, _, query = target.partition("?")
    segments = path.split("/")[1:]
    plain = path.startswith("/") and PATH_CHARACTERS.issuperset(path)
    if not plain or any(segment in ("", ".", "..") for segment in segments):
        raise HopError(Reason.ROUTE_UNKNOWN, "the path is not made of plain segments")
    return path, _fields(query, fields, chars)


def _fields(query: str, fields: int, chars: int) -> Mapping[str, str]:
    if not query:
        return {}
    try:
        if len(query) > chars:
            raise ValueError(query)
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=fields)
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError(query)
    except ValueError:
        raise HopError(Reason.MESSAGE_INVALID, "the query is not a list of distinct name=value fields") from None
    return dict(pairs)
