"""Legacy MCP sessions as sealed handles: any worker can serve one, nobody can use another's.

The handle seals the upstream's session id with owner, route and expiry. Nothing is stored.
"""

import msgspec

from gateway.core.errors import HopError
from gateway.core.model import Chain, Peer, Route
from gateway.core.ports import Sealer
from gateway.core.reasons import Reason


class Handle(msgspec.Struct, frozen=True):
    """What a session handle holds: the upstream's own id, and Unix seconds of its end."""

    upstream: str
    expires: int
    opens_urls: bool = False
    """Whether the client that opened it has declared that it opens URLs."""


def owner(chain: Chain, peer: Peer | None) -> str:
    """Who a session or a task belongs to: the person and the workload together, and whoever speaks for the workload."""
    if peer is not None and peer.gateway is not None:
        return f"{chain.sub} {peer.spiffe_id} {peer.gateway}"
    return f"{chain.sub} {'' if peer is None else peer.spiffe_id}"


def seal(sealer: Sealer, upstream: str, route: Route, whose: str, expires: int, *, opens_urls: bool = False) -> str:
    """The ``Mcp-Session-Id`` that the client is given."""
    return sealer.seal(msgspec.json.encode(Handle(upstream, expires, opens_urls)), _context(route, whose))


def unseal(sealer: Sealer, sealed: str, route: Route, whose: str, now: int) -> Handle:
    """What the client was given.

    Raises:
        HopError: SESSION_UNKNOWN for a forged or expired handle, another owner's or another route's.
    """
    plain = sealer.open(sealed, _context(route, whose))
    handle = None if plain is None else msgspec.json.decode(plain, type=Handle)
    if handle is None or now >= handle.expires:
        raise HopError(Reason.SESSION_UNKNOWN, "no such session for this caller on this route")
    return handle


def _context(route: Route, whose: str) -> bytes:
    return msgspec.json.encode(["session", route.path, whose])
