"""From a record to its row: the stored bytes and the columns that the filters search.

The columns repeat what the record says. ``verify`` of the reader compares them, so that nobody hides a
record from a search by editing a column.
"""

from typing import Any

from gateway.core.audit import DecisionRecord, KernelRecord, Record, RefusedRecord, Sealed

SEARCHED = (
    "kind",
    "at",
    "hop",
    "trace_id",
    "txn",
    "agent",
    "user_sub",
    "action",
    "resource_type",
    "resource",
    "verdict",
)
"""Columns of ``search_columns``, in their order."""


def row_of(sealed: Sealed) -> dict[str, Any]:
    """The ``records`` row of a chained record."""
    record = sealed.record
    return {
        "writer": record.writer,
        "seq": record.seq,
        "payload": sealed.payload,
        "link": sealed.link,
        **dict(zip(SEARCHED, search_columns(record), strict=True)),
    }


def policy_rows(record: Record) -> list[dict[str, Any]]:
    """The ``record_policies`` rows of a record."""
    return [{"writer": record.writer, "seq": record.seq, "policy": policy} for policy in policies_of(record)]


def policies_of(record: Record) -> list[str]:
    """Ids of the policies that determined a decision, each once."""
    if isinstance(record, KernelRecord):
        return sorted(set(record.policies))
    return sorted({policy.id for policy in record.policies}) if isinstance(record, DecisionRecord) else []


def search_columns(record: Record) -> tuple[Any, ...]:
    """Values of SEARCHED for a record; what a record doesn't have is None."""
    kind = str(record.__struct_config__.tag)
    hop = record.hop or None
    if isinstance(record, DecisionRecord):
        txn: str | None = record.chain.txn
        verdict: str = record.verdict
        user = record.user
    elif isinstance(record, RefusedRecord):
        txn, verdict, user = record.txn, "refused", record.user
    elif isinstance(record, KernelRecord):
        txn, verdict, user = None, record.verdict, None
    else:
        return kind, record.at, hop, *(None,) * (len(SEARCHED) - 3)
    agent, resource = record.agent, record.resource
    return (
        kind,
        record.at,
        hop,
        record.trace_id or None,
        txn,
        # A SPIFFE ID that isn't registered is searched by itself.
        None if agent is None else agent.name or agent.spiffe_id,
        user,
        record.action,
        None if resource is None else resource.type,
        None if resource is None else resource.id,
        verdict,
    )
