"""Signed links to the pages of approvals: who holds one sees what waits, until it is over. They decide nothing."""

import hmac
from collections.abc import Mapping
from urllib.parse import urlencode

from gateway.identity.seal import keyed_digest

_USE = b"hopgate approval link v1"


def signed_link(base: str, name: str, until: int, key: bytes) -> str:
    """The link to the approval ``name``; ``until`` in Unix seconds. The same each time: so is the body."""
    query = urlencode({"until": until, "signature": _signature(name, str(until), key)})
    return f"{base}/approvals/{name}?{query}"


def is_signed(name: str, query: Mapping[str, str], key: bytes, now: int) -> bool:
    """Whether the query is of a signed link to ``name`` that isn't over at ``now`` (Unix seconds)."""
    until, given = query.get("until", ""), query.get("signature", "")
    if not (until.isascii() and until.isdigit() and len(until) <= 12) or int(until) <= now or not given.isascii():
        return False
    return hmac.compare_digest(given, _signature(name, until, key))


def _signature(name: str, until: str, key: bytes) -> str:
    return keyed_digest(key, b"\0".join((_USE, name.encode(), until.encode())))
