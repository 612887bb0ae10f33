"""A decision made durable: its record first, then what metrics and traces say of it."""

from collections.abc import Sequence

from gateway.core.audit import FactsRecord, Record, decision_record
from gateway.core.errors import StoreError
from gateway.core.model import Decision, Minted
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.observe import observe
from gateway.proxy.staged import staged


async def commit(gate: Gate, passage: Passage, decision: Decision, minted: Minted | None) -> None:
    """Record ``decision``, whose Grant will carry ``minted``.

    Raises:
        StoreError: the record is not durable; nothing may be forwarded.
    """
    hop, snapshot = decision.hop, passage.snapshot
    pieces = gate.kept.pieces(hop, snapshot.bundle)
    record = decision_record(
        decision,
        snapshot.registry,
        digest_key=gate.digest_key,
        trace_id=passage.span(gate.tracing).trace_id,
        minted=minted,
        staged=staged(gate, decision, snapshot),
        facts=[piece.digest for piece in pieces],
        usage=hop.usage if snapshot.bundle.reads_usage else None,
    )
    with gate.metrics.stage("audit"):
        await _append(gate, passage, record, gate.kept.unwritten(pieces, hop.now))
    observe(gate, passage, decision, record)


async def _append(gate: Gate, passage: Passage, record: Record, facts: Sequence[FactsRecord]) -> None:
    # A client that leaves meanwhile doesn't take the record back; only a store that fails does.
    passage.decided = True
    try:
        await gate.audit.append(record, *facts)
    except StoreError:
        passage.decided = False
        raise
    gate.kept.written(facts)
