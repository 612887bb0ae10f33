"""From the records of one chain to its tree: which hop was made with the token of which.

A hop's parent is the decision whose minted token it presented. Only recorded digests join hops; nothing
is guessed from times or names. Doesn't render.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from gateway.core.audit.record import DecisionRecord, KernelRecord, OutcomeRecord, Record, RefusedRecord

HopRecord = DecisionRecord | RefusedRecord | KernelRecord
"""What has a verdict. What the kernel denied is part of no chain."""


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
        elif isinstance(record, HopRecord):
            hops.append(record)
    minters = _minters(hops)
    parents = {hop.id: _parent(hop, minters) for hop in hops}
    # Furthest from the root first: a child is built when its parent needs it.
    far = {hop.id: _distance(hop, parents) for hop in hops}
    hops.sort(key=lambda hop: far[hop.id], reverse=True)
    children: dict[str, list[Node]] = {}
    roots: list[Node] = []
    for hop in hops:
        parent = parents[hop.id] if far[hop.id] else None
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
    if isinstance(hop, KernelRecord):
        return None
    presented = hop.chain.parent if isinstance(hop, DecisionRecord) else hop.parent
    others = [minter for minter in minters.get(presented or "", ()) if minter.id != hop.id]
    return max(others, key=lambda minter: (minter.at <= hop.at, minter.at), default=None)


def _distance(hop: HopRecord, parents: Mapping[str, DecisionRecord | None]) -> int:
    """Steps to the hop's root; none where its ancestors form a ring, as only a forged log has them."""
    seen, steps, at = {hop.id}, 0, parents[hop.id]
    while at is not None:
        if at.id in seen:
            return 0
        seen.add(at.id)
        steps, at = steps + 1, parents[at.id]
    return steps


def _time(node: Node) -> tuple[int, str]:
    return node.record.at, node.record.id


def _continues(hop: HopRecord) -> bool:
    if isinstance(hop, DecisionRecord):
        return not hop.chain.root
    return isinstance(hop, RefusedRecord) and hop.txn is not None
