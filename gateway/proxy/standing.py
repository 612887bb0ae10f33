"""Streams that stand open with no answer to wait for: a session's GET, and ``subscriptions/listen``.

Decides when they end besides their lease: with their session, and at once when the gateway drains, so that their
clients go to another instance while answers under way finish. Doesn't decide whether one may be opened.
"""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.core.errors import HopError
from gateway.core.model import Hop
from gateway.core.reasons import Reason
from gateway.protocols import mcp
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.lease import Lease
from gateway.proxy.upstream import UpstreamAnswer


async def opened(
    gate: Gate, passage: Passage, hop: Hop, send: Callable[[], Awaitable[UpstreamAnswer]]
) -> UpstreamAnswer:
    """The head of the upstream's answer; that of a standing stream isn't waited for any longer than it would stand.

    Raises:
        HopError: DRAINING or LEASE_ENDED, or what ``send`` raises.
    """
    if not mcp.is_standing(hop.call):
        return await send()
    if gate.draining.is_set():
        raise HopError(Reason.DRAINING, "no stream stands any longer")
    clock, waiting = asyncio.get_running_loop().time, asyncio.timeout(None)
    lease = Lease(hop, lambda: waiting.reschedule(clock()), passage.exchange.vouched, passage.upstream_session)
    gate.leases.add(lease)
    try:
        async with waiting:
            return await send()
    except TimeoutError:
        if lease.ended is None:
            raise
        raise lease.ended from None
    finally:
        gate.leases.discard(lease)


def of_silence(hop: Hop, error: HopError) -> HopError:
    """A standing stream on which nothing was said for long has not failed: its upstream had nothing to say."""
    if mcp.is_standing(hop.call) and error.reason is Reason.UPSTREAM_TIMEOUT:
        return HopError(Reason.LEASE_ENDED, "the upstream was silent for idle_stream_seconds")
    return error


def drain(gate: Gate) -> None:
    """End every standing stream; the answers under way go on."""
    gate.draining.set()
    for lease in tuple(gate.leases):
        if mcp.is_standing(lease.hop.call):
            lease.end("the gateway is stopping", Reason.DRAINING)


def end_session(gate: Gate, hop: Hop, session: str | None) -> None:
    """End the standing streams of the upstream's ``session``, which its owner has ended by ``hop``."""
    for lease in tuple(gate.leases):
        ours = lease.session == session and lease.hop.route.path == hop.route.path
        if session is not None and ours and mcp.is_standing(lease.hop.call):
            lease.end("the client has ended the session")
