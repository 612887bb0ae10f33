"""Counting hops: who is told to come back later, and when.

A hop is let in by what its head tells, before its body is read; counted once it is known whole, before it is decided;
and over when the last of its answer is written, or whatever went wrong has ended it. Counts are this process's own.
Doesn't count (``core.metering``) and knows no quota of its own.
"""

from collections.abc import Mapping

from gateway.core.errors import HopError
from gateway.core.model import ChainToken, Hop, RootToken, Usage
from gateway.core.quotas import Excess
from gateway.core.reasons import Reason
from gateway.core.usage import Measure, known_before_reading, of_hop
from gateway.proxy.exchange import Exchange
from gateway.proxy.gate import Gate, Passage

_REASONS: Mapping[Measure, Reason] = {
    "requests": Reason.TOO_MANY_REQUESTS,
    "concurrent": Reason.TOO_MANY_CALLS,
    "bytes": Reason.TOO_MANY_BYTES,
}
OF_CALLER = range(400, 500)
"""Statuses of refusals that are the caller's fault."""


class LimitedError(HopError):
    """The hop is one too many. ``seconds``: waiting that long works, if nothing else of the same is done meanwhile."""

    def __init__(self, reason: Reason, detail: str, seconds: int) -> None:
        super().__init__(reason, detail)
        self.seconds = seconds


def check_refused(gate: Gate, passage: Passage) -> None:
    """Hold up a peer many of whose requests were refused, before anything of this one is looked into.

    Raises:
        LimitedError: TOO_MANY_REFUSED.
    """
    peer = _peer(gate, passage)
    if peer is None:
        return
    quotas = passage.snapshot.quotas
    wait = gate.metering.wait_of_refused(peer, quotas, gate.ticks())
    if wait:
        gate.metrics.limited("peer", "requests")
        detail = f"more than {quotas.refused_per_minute} requests in a minute were refused"
        raise LimitedError(Reason.TOO_MANY_REFUSED, detail, _seconds(wait))


def refused(gate: Gate, passage: Passage, error: HopError) -> None:
    """Note that a hop ended before it could be decided, where that is its caller's fault and was not for a quota."""
    peer = _peer(gate, passage)
    if peer is None or passage.decided or passage.hop is not None or isinstance(error, LimitedError):
        return
    if error.reason.status in OF_CALLER:
        gate.metering.refused(peer, gate.ticks())


def arrive(gate: Gate, passage: Passage) -> None:
    """Let the hop in, whose head is read: it runs from now on.

    Raises:
        HopError: BODY_TOO_LARGE for what never fits.
        LimitedError: TOO_MANY_REQUESTS, TOO_MANY_CALLS or TOO_MANY_BYTES.
    """
    snapshot = passage.snapshot
    subjects = known_before_reading(passage.route, _agent(passage), _user(passage), snapshot.registry)
    excess = passage.metered.arrives(subjects, snapshot.quotas, _announced(passage.exchange), gate.ticks())
    _refuse(gate, excess)


def count(gate: Gate, passage: Passage, hop: Hop, body: int) -> Usage:
    """Count the hop, whose body has so many bytes, for all whose it is; what policies see of it.

    Raises:
        HopError: as ``arrive``.
    """
    snapshot, now = passage.snapshot, gate.ticks()
    _refuse(gate, passage.metered.counts(of_hop(hop, snapshot.registry), snapshot.quotas, body, now))
    return passage.metered.usage(now)


def count_request(gate: Gate, passage: Passage, body: int) -> None:
    """Count a request that is none of a route's.

    Raises:
        HopError: as ``arrive``.
    """
    snapshot = passage.snapshot
    subjects = known_before_reading(None, _agent(passage), None, snapshot.registry)
    _refuse(gate, passage.metered.counts(subjects, snapshot.quotas, body, gate.ticks()))


def answered(gate: Gate, passage: Passage, size: int) -> LimitedError | None:
    """Count ``size`` bytes of the answer; the error to end a stream with, where they were too much."""
    excess = passage.metered.answers(size, passage.snapshot.quotas, gate.ticks())
    return None if excess is None else _limited(gate, excess)


def _refuse(gate: Gate, excess: Excess | None) -> None:
    if excess is None:
        return
    if excess.wait is None:
        gate.metrics.limited(excess.subject.kind, excess.measure)
        raise HopError(Reason.BODY_TOO_LARGE, f"{excess}, which is less than this request alone")
    raise _limited(gate, excess)


def _limited(gate: Gate, excess: Excess) -> LimitedError:
    gate.metrics.limited(excess.subject.kind, excess.measure)
    return LimitedError(_REASONS[excess.measure], str(excess), _seconds(excess.wait or 0))


def _seconds(milliseconds: int) -> int:
    return max(1, -(-milliseconds // 1000))


def _peer(gate: Gate, passage: Passage) -> str | None:
    """Whose refusals are counted. A mesh proxy's are nobody's: it speaks for many."""
    peer = passage.exchange.peer
    if peer is None:
        return _user(passage)
    return None if peer.spiffe_id in gate.mesh.proxies else peer.spiffe_id


def _agent(passage: Passage) -> str | None:
    agent, peer = passage.agent, passage.exchange.peer
    if agent is None and peer is not None:
        agent = passage.snapshot.registry.agent_of(peer.spiffe_id)
    return None if agent is None else agent.name


def _user(passage: Passage) -> str | None:
    match passage.presented:
        case RootToken(user=user):
            return user.sub
        case ChainToken(user=user) if user is not None:
            return user.sub
    return None


def _announced(exchange: Exchange) -> int:
    """The body's size as its head says; 0 where it doesn't."""
    said = next((value for name, value in exchange.headers if name == "content-length"), "")
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 16 else 0
