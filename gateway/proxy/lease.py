"""How long a stream may go on: to the end of its chain and certificate, and as long as policy still permits it."""

from collections.abc import Callable

from gateway.core.errors import HopError
from gateway.core.model import Hop
from gateway.core.reasons import Reason


class Lease:
    """One open stream's. ``end`` closes the upstream; whoever reads the stream finds ``ended`` set."""

    def __init__(self, hop: Hop, close: Callable[[], None], vouched: Callable[[], bool]) -> None:
        self.hop = hop
        self.vouched = vouched
        """Whether today's trust bundles vouch for the caller's connection."""
        self.ended: HopError | None = None
        self._close = close
        ends = (hop.chain.root_expires, hop.chain.until, None if hop.peer is None else hop.peer.not_after)
        self.until = min(end for end in ends if end is not None)
        """Unix seconds."""

    def end(self, detail: str) -> None:
        """The stream is over: ``detail`` says why."""
        self.ended = HopError(Reason.LEASE_ENDED, detail)
        self._close()
