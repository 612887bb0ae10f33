"""From the records of one chain to its tree: which hop was made with the token of which.

A hop's parent is the decision whose minted token it presented. Only recorded digests join hops; nothing
is guessed from times or names. Doesn't render.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from gateway.core.audit.issued import PROTOCOL
from gateway.core.audit.record import DecisionRecord, OutcomeRecord, Record, RefusedRecord

HopRecord = DecisionRecord | RefusedRecord


class Node(Struct, frozen=True):
    """One hop, how it ended, and the hops made with the token that was minted for it."""

    record: HopRecord
    outcome: OutcomeRecord | None
    children: tuple["Node", ...]
    detached: bool
    """The hop continues a token whose decision isn't among the records."""


def forest(records: Iterable[Record]) -> tuple[Node, ...]:
    """The trees of ``records``, roots and children by time."""
    hops: list[HopRecord] = []
    outcomes: dict[str, OutcomeRecord] = {}
    for record in records:
        if isinstance(record, OutcomeRecord):
            outcomes[record.hop] = record
        elif isinstance(record, DecisionRecord | RefusedRecord):
            hops.append(record)
    # Last first: a child always comes after its parent, so it is built when the parent needs it.
    hops.sort(key=_place, reverse=True)
    minters = _minters(hops)
    children: dict[str, list[Node]] = {}
    roots: list[Node] = []
    for hop in hops:
        parent = _parent(hop, minters)
        below = sorted(children.pop(hop.id, []), key=_time)
        node = Node(hop, outcomes.get(hop.hop), tuple(below), parent is None and _continues(hop))
        siblings = roots if parent is None else children.setdefault(parent.id, [])
        siblings.append(node)
    return tuple(sorted(roots, key=_time))


def _minters(hops: Iterable[HopRecord]) -> Mapping[str, Sequence[DecisionRecord]]:
    """Digest of a minted token → the decisions that it was sent for."""
    found: dict[str, list[DecisionRecord]] = {}
    for hop in hops:
        if isinstance(hop, DecisionRecord) and hop.minted is not None:
            found.setdefault(hop.minted.digest, []).append(hop)
    return found


def _parent(hop: HopRecord, minters: Mapping[str, Sequence[DecisionRecord]]) -> DecisionRecord | None:
    """The latest decision before ``hop`` that minted its token, or any other where clocks disagree."""
    presented = hop.chain.parent if isinstance(hop, DecisionRecord) else hop.parent
    known = minters.get(presented or "", ())
    earlier = [minter for minter in known if _place(minter) < _place(hop)]
    return max(earlier, key=lambda minter: (minter.at <= hop.at, minter.at), default=None)


def _place(hop: HopRecord) -> tuple[float, int, int]:
    """Where a hop stands in its chain: by depth; a token's exchange before the hops that it was made for, by time."""
    if not isinstance(hop, DecisionRecord):
        return math.inf, 0, 0
    return (hop.chain.depth, 0, hop.at) if hop.protocol == PROTOCOL else (hop.chain.depth, 1, 0)


def _time(node: Node) -> tuple[int, str]:
    return node.record.at, node.record.id


def _continues(hop: HopRecord) -> bool:
    if isinstance(hop, DecisionRecord):
        return not hop.chain.root
    return hop.txn is not None
