"""Streams that stand open with no answer to wait for: a session's GET, and ``subscriptions/listen``.

Decides when they end besides their lease: with their session, and at once when the gateway drains, so that their
clients go to another instance while answers under way finish. Doesn't decide whether one may be opened.
"""

from gateway.core.errors import HopError
from gateway.core.model import Hop
from gateway.core.reasons import Reason
from gateway.protocols import mcp
from gateway.proxy.gate import Gate
from gateway.proxy.lease import Lease


def check_standing(gate: Gate, hop: Hop) -> None:
    """Refuse a stream that would only stand while the gateway drains.

    Raises:
        HopError: DRAINING.
    """
    if gate.draining.is_set() and mcp.is_standing(hop.call):
        raise HopError(Reason.DRAINING, "no stream stands any longer")


def all_leases(gate: Gate) -> tuple[Lease, ...]:
    """Of the open streams, and of those that will stand once their upstream has begun them."""
    return (*gate.leases, *(lease for lease in gate.waiting if mcp.is_standing(lease.hop.call)))


def of_silence(hop: Hop, error: HopError) -> HopError:
    """A standing stream on which nothing was said for long has not failed: its upstream had nothing to say."""
    if mcp.is_standing(hop.call) and error.reason is Reason.UPSTREAM_TIMEOUT:
        return HopError(Reason.LEASE_ENDED, "the upstream was silent for idle_stream_seconds")
    return error


def drain(gate: Gate) -> None:
    """End every standing stream; the answers under way go on."""
    gate.draining.set()
    for lease in all_leases(gate):
        if mcp.is_standing(lease.hop.call):
            lease.end("the gateway is stopping", Reason.DRAINING)


def end_session(gate: Gate, hop: Hop, session: str | None) -> None:
    """End the standing streams of the upstream's ``session``, which its owner has ended by ``hop``."""
    for lease in all_leases(gate):
        ours = lease.session == session and lease.hop.route.path == hop.route.path
        if session is not None and ours and mcp.is_standing(lease.hop.call):
            lease.end("the client has ended the session")
