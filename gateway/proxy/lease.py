"""How long a stream may go on: to the end of chain, certificate and approval, as long as policy still permits it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.core.errors import HopError
from gateway.core.model import Hop, Presented
from gateway.core.reasons import Reason


class Lease:
    """One open stream's. ``end`` closes the upstream; whoever reads the stream finds ``ended`` set."""

    def __init__(
        self,
        hop: Hop,
        close: Callable[[], None],
        vouched: Callable[[], bool],
        presented: Presented = None,
        session: str | None = None,
    ) -> None:
        self.hop = hop
        self.presented = presented
        self.session = session
        """The upstream's own session id."""
        self.vouched = vouched
        """Whether today's trust bundles vouch for the caller's connection."""
        self.ended: HopError | None = None
        self._close = close
        people = (None if hop.peer is None else hop.peer.not_after, None if hop.given is None else hop.given.until)
        ends = (hop.chain.root_expires, hop.chain.until, *people)
        self.until = min(end for end in ends if end is not None)
        """Unix seconds."""

    def end(self, detail: str, reason: Reason = Reason.LEASE_ENDED) -> None:
        """The stream is over: ``detail`` says why."""
        self.revoke(HopError(reason, detail))

    def revoke(self, why: HopError) -> None:
        """The stream is over, as ``why`` tells."""
        self.ended = why
        self._close()


@asynccontextmanager
async def held(
    leases: set[Lease],
    hop: Hop,
    vouched: Callable[[], bool],
    presented: Presented,
    session: str | None = None,
) -> AsyncIterator[Lease]:
    """One of ``leases`` for as long as the block runs, which is cut off when it ends.

    Raises:
        HopError: why it ended.
    """
    loop = asyncio.get_running_loop()
    cut = asyncio.timeout(None)
    lease = Lease(hop, lambda: cut.reschedule(loop.time()), vouched, presented, session)
    try:
        async with cut:
            leases.add(lease)
            yield lease
    except TimeoutError:
        if lease.ended is None:
            raise
        raise lease.ended from None
    finally:
        leases.discard(lease)
