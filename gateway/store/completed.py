"""Recorded decisions with how they ended, for what learns from them. Reads only."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import select

from gateway.core.audit import DecisionRecord, OutcomeRecord
from gateway.store.query import decoded, reading, stream
from gateway.store.tables import records


def completed(paths: Sequence[Path], since: int) -> Iterator[tuple[DecisionRecord, OutcomeRecord | None]]:
    """Every decision from ``since``, Unix milliseconds, and its outcome where there is one, file by file.

    Raises:
        StoreError: AUDIT_UNAVAILABLE.
    """
    ending = records.alias()
    how = (ending.c.hop == records.c.hop) & (ending.c.kind == "outcome")
    query = (
        select(records.c.payload, ending.c.payload.label("ending"))
        .outerjoin_from(records, ending, how)
        .where(records.c.kind == "decision", records.c.at >= since)
        .order_by(records.c.at, records.c.entry)
    )
    for path in paths:
        with reading(path) as connection:
            for row in stream(connection, query):
                record = decoded(row.payload)
                outcome = None if row.ending is None else decoded(row.ending)
                if isinstance(record, DecisionRecord):
                    yield record, outcome if isinstance(outcome, OutcomeRecord) else None
