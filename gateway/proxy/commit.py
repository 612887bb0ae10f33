"""A decision made durable: its record first, then what metrics and traces say of it."""

from gateway.core.audit import Record, decision_record
from gateway.core.errors import StoreError
from gateway.core.model import Decision, Minted
from gateway.proxy.decided import staged
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.observe import observe


async def commit(gate: Gate, passage: Passage, decision: Decision, minted: Minted | None) -> None:
    """Record ``decision``, whose Grant will carry ``minted``.

    Raises:
        StoreError: the record is not durable; nothing may be forwarded.
    """
    record = decision_record(
        decision,
        passage.snapshot.registry,
        digest_key=gate.digest_key,
        trace_id=passage.span(gate.tracing).trace_id,
        minted=minted,
        staged=staged(gate, decision, passage.snapshot),
    )
    with gate.metrics.stage("audit"):
        await _append(gate, passage, record)
    observe(gate, passage, decision, record)


async def _append(gate: Gate, passage: Passage, record: Record) -> None:
    # A client that leaves meanwhile doesn't take the record back; only a store that fails does.
    passage.decided = True
    try:
        await gate.audit.append(record)
    except StoreError:
        passage.decided = False
        raise
