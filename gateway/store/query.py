"""Reads audit files: searches, whole chains, and rows for verification. Never writes.

Works while the gateway writes, and on what a killed gateway left. Times are Unix milliseconds.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from heapq import merge
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Select, case, func, literal, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from gateway.core.audit import (
    AdminRecord,
    AnyRecord,
    DecisionRecord,
    FactsRecord,
    Fault,
    OutcomeRecord,
    Row,
    decode,
)
from gateway.core.audit.tree import HopRecord
from gateway.core.errors import StoreError
from gateway.core.reasons import Reason
from gateway.store.audit_rows import SEARCHED, policies_of, search_columns
from gateway.store.schema import SchemaMismatchError, check_current
from gateway.store.sql import audit_path, audit_paths, cause, reading_engine
from gateway.store.tables import record_policies, records

Cursor = tuple[int, str, int]
"""(at, writer, seq) of the last row of a page."""
_BATCH = 1000
# Written out: a partial index serves only where the database sees the kind before it sees the values.
_FACTS, _ADMIN = (records.c.kind == literal(kind, literal_execute=True) for kind in ("facts", "admin"))
_SAME_RECORD = (record_policies.c.writer == records.c.writer) & (record_policies.c.seq == records.c.seq)


class Filters(Struct, frozen=True, kw_only=True):
    """What to search; all given filters must fit. ``since`` is inclusive, ``until`` is not."""

    agent: str | None = None
    """Registered name, or the SPIFFE ID of one that isn't."""
    user: str | None = None
    policy: str | None = None
    action: str | None = None
    resource: str | None = None
    resource_type: str | None = None
    verdict: Literal["permit", "ask", "deny", "refused", "would_deny"] | None = None
    since: int | None = None
    until: int | None = None
    trace_id: str | None = None
    txn: str | None = None
    before: Cursor | None = None
    """Only what is older than this: the next page."""
    limit: int = 100


class Found(Struct, frozen=True):
    """A decision or refusal, and how the hop ended if that is recorded."""

    record: HopRecord
    outcome: OutcomeRecord | None


class Page(Struct, frozen=True):
    """Newest first. ``next`` goes into ``Filters.before``; None at the end."""

    found: tuple[Found, ...]
    next: Cursor | None


class _Policies(Struct):
    policies: dict[str, str] = {}


class AuditReader:
    """The audit files of a store URL."""

    def __init__(self, url: str) -> None:
        """Find the files.

        Raises:
            StoreError: AUDIT_UNAVAILABLE, there are none.
            ValueError: not a URL of a supported store.
        """
        self.paths = audit_paths(url)
        if not self.paths:
            raise StoreError(Reason.AUDIT_UNAVAILABLE, f"no audit log at {audit_path(url)}; check the store URL")

    def query(self, filters: Filters) -> Page:
        """The newest decisions and refusals that fit, of all files.

        Raises:
            StoreError: AUDIT_UNAVAILABLE, a file can't be read.
        """
        found: list[Found] = []
        for path in self.paths:
            with reading(path) as connection:
                hops = [_hop(row.payload) for row in connection.execute(_search(filters))]
                outcomes = _outcomes(connection, [hop.hop for hop in hops])
            found.extend(Found(hop, outcomes.get(hop.hop)) for hop in hops)
        found.sort(key=lambda one: _cursor(one.record), reverse=True)
        page = found[: filters.limit]
        return Page(tuple(page), _cursor(page[-1].record) if len(found) > filters.limit else None)

    def chain(self, key: str) -> tuple[AnyRecord, ...]:
        """All records of the chain (txn), trace id or decision id ``key``, oldest first; empty if unknown.

        A decision id stands for the chain that it is part of.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
        """
        for column in ("txn", "trace_id"):
            found = self._hops(column, key)
            if found:
                return found
        alone = self._hops("hop", key)
        txns = {record.chain.txn for record in alone if isinstance(record, DecisionRecord)}
        return self._hops("txn", txns.pop()) if txns else alone

    def administration(self, limit: int = 100) -> tuple[AdminRecord, ...]:
        """The newest records of who administered, or tried to, newest first.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
        """
        query = select(records.c.payload).where(_ADMIN).order_by(records.c.at.desc()).limit(limit)
        found: list[AdminRecord] = []
        for path in self.paths:
            with reading(path) as connection:
                rows = [decoded(row.payload) for row in connection.execute(query)]
            found.extend(record for record in rows if isinstance(record, AdminRecord))
        return tuple(sorted(found, key=lambda record: (record.at, record.seq), reverse=True)[:limit])

    def rows(self) -> Iterator[Row]:
        """Every stored row, file by file in the order written.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
        """
        query = select(records.c.writer, records.c.seq, records.c.payload, records.c.link).order_by(records.c.entry)
        for path in self.paths:
            with reading(path) as connection:
                for row in stream(connection, query):
                    seq = row.seq if isinstance(row.seq, int) else -1
                    yield Row(str(row.writer), seq, _bytes(row.payload), _bytes(row.link))

    def decisions(self, since: int = 0, until: int | None = None) -> Iterator[DecisionRecord]:
        """Every decision from ``since`` to before ``until``, file by file, oldest first in each.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
        """
        query = select(records.c.payload).where(records.c.kind == "decision", records.c.at >= since)
        if until is not None:
            query = query.where(records.c.at < until)
        for path in self.paths:
            with reading(path) as connection:
                for row in stream(connection, query.order_by(records.c.at, records.c.entry)):
                    record = decoded(row.payload)
                    if isinstance(record, DecisionRecord):
                        yield record

    def newest_decisions(self, since: int, until: int | None, limit: int) -> Iterator[DecisionRecord]:
        """The newest ``limit`` of ``decisions``, newest first.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
        """
        query = select(records.c.payload, records.c.at).where(records.c.kind == "decision", records.c.at >= since)
        if until is not None:
            query = query.where(records.c.at < until)
        query = query.order_by(records.c.at.desc(), records.c.entry.desc()).limit(limit)
        with ExitStack() as stack:
            files = [stream(stack.enter_context(reading(path)), query) for path in self.paths]
            for row in islice(merge(*files, key=lambda row: -row.at), limit):
                record = decoded(row.payload)
                if isinstance(record, DecisionRecord):
                    yield record

    def determined(self, since: int = 0) -> dict[str, tuple[int, int]]:
        """By policy: when it last determined a decision, and how many since ``since``.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
        """
        policy, at = record_policies.c.policy, records.c.at
        counted = func.sum(case((at >= since, 1), else_=0))
        query = select(policy, func.max(at), counted).join(records, _SAME_RECORD).group_by(policy)
        found: dict[str, tuple[int, int]] = {}
        for path in self.paths:
            with reading(path) as connection:
                for name, last, count in connection.execute(query):
                    known = found.get(name, (0, 0))
                    found[name] = max(known[0], last), known[1] + count
        return found

    def asked(self) -> dict[tuple[str, str, bool], int]:
        """When there was last a decision on an action and a type of resource, by an agent or by a user alone.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
        """
        by_agent = records.c.agent.is_not(None)
        what = (records.c.action, records.c.resource_type, by_agent)
        query = select(*what, func.max(records.c.at)).where(records.c.kind == "decision").group_by(*what)
        found: dict[tuple[str, str, bool], int] = {}
        for path in self.paths:
            with reading(path) as connection:
                for action, kind, agent, last in connection.execute(query):
                    key = (action, kind, bool(agent))
                    found[key] = max(found.get(key, 0), last)
        return found

    def policies_seen(self) -> dict[tuple[str, str], int]:
        """When each revision of a policy was first in force, by id and revision.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
            ValueError: facts that can't be read.
        """
        query = select(records.c.payload).where(_FACTS).order_by(records.c.at)
        found: dict[tuple[str, str], int] = {}
        for path in self.paths:
            with reading(path) as connection:
                for row in stream(connection, query):
                    record = decoded(row.payload)
                    if isinstance(record, FactsRecord):
                        for place in msgspec.json.decode(record.document, type=_Policies).policies.items():
                            found[place] = min(found.get(place, record.at), record.at)
        return found

    def facts(self) -> Iterator[tuple[str, bytes]]:
        """The facts that decisions name: digest and text, one as often as processes wrote it.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
        """
        query = select(records.c.payload).where(_FACTS)
        for path in self.paths:
            with reading(path) as connection:
                for row in stream(connection, query):
                    record = decoded(row.payload)
                    if isinstance(record, FactsRecord):
                        yield record.hop, bytes(record.document)

    def index_fault(self) -> Fault | None:
        """The first record that a search would miss or misplace, because its columns differ from it.

        Raises:
            StoreError: AUDIT_UNAVAILABLE.
            ValueError: a record can't be read; ``core.audit.verify`` says which.
        """
        columns = [records.c[name] for name in SEARCHED]
        query = (
            select(records.c.writer, records.c.seq, record_policies.c.policy, records.c.payload, *columns)
            .outerjoin_from(records, record_policies, _SAME_RECORD)
            .order_by(records.c.entry, record_policies.c.policy)
        )
        for path in self.paths:
            with reading(path) as connection:
                for (writer, seq), rows in groupby(stream(connection, query), key=lambda row: (row.writer, row.seq)):
                    if not _is_indexed(list(rows)):
                        return Fault(writer, seq, "the search columns differ from the record")
        return None

    def _hops(self, column: str, value: str) -> tuple[AnyRecord, ...]:
        found: list[AnyRecord] = []
        for path in self.paths:
            with reading(path) as connection:
                query = select(records.c.payload).where(records.c[column] == value, records.c.verdict.is_not(None))
                hops = [_hop(row.payload) for row in connection.execute(query)]
                found.extend(hops)
                found.extend(_outcomes(connection, [hop.hop for hop in hops]).values())
        return tuple(sorted(found, key=lambda record: (record.at, record.writer, record.seq)))


@contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """A connection to one audit file; what goes wrong on it is a StoreError."""
    engine = reading_engine(path)
    try:
        with engine.begin() as connection:
            check_current(connection, "audit")
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(Reason.AUDIT_UNAVAILABLE, f"{path}: {cause(error)}") from error
    except SchemaMismatchError as error:
        raise StoreError(Reason.AUDIT_UNAVAILABLE, f"{path}: {error}") from error
    finally:
        engine.dispose()


def _search(filters: Filters) -> Select[bytes]:
    """One row more than the page holds, to know whether another page follows."""
    place = (records.c.at, records.c.writer, records.c.seq)
    query = select(records.c.payload).where(records.c.verdict.is_not(None))
    equal: dict[str, str | None] = {
        "agent": filters.agent,
        "user_sub": filters.user,
        "action": filters.action,
        "resource": filters.resource,
        "resource_type": filters.resource_type,
        "verdict": filters.verdict,
        "trace_id": filters.trace_id,
        "txn": filters.txn,
    }
    query = query.where(*(records.c[column] == value for column, value in equal.items() if value is not None))
    if filters.since is not None:
        query = query.where(records.c.at >= filters.since)
    if filters.until is not None:
        query = query.where(records.c.at < filters.until)
    if filters.before is not None:
        query = query.where(tuple_(*place) < filters.before)
    if filters.policy is not None:
        query = query.join(record_policies, _SAME_RECORD).where(record_policies.c.policy == filters.policy)
    return query.order_by(*(column.desc() for column in place)).limit(filters.limit + 1)


def _outcomes(connection: Connection, hops: Sequence[str]) -> dict[str, OutcomeRecord]:
    found: dict[str, OutcomeRecord] = {}
    for start in range(0, len(hops), _BATCH):
        part = hops[start : start + _BATCH]
        query = select(records.c.payload).where(records.c.hop.in_(part), records.c.kind == "outcome")
        for row in connection.execute(query):
            outcome = decoded(row.payload)
            if isinstance(outcome, OutcomeRecord):
                found[outcome.hop] = outcome
    return found


def _is_indexed(rows: Sequence[Any]) -> bool:
    """Whether the rows of one record, one for each indexed policy, say what the record says."""
    _, _, policy, payload, *columns = rows[0]
    record = decode(_bytes(payload))
    policies = [] if policy is None else sorted(row.policy for row in rows)
    return tuple(columns) == search_columns(record) and policies == policies_of(record)


def stream(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """The rows, some at a time."""
    yield from connection.execution_options(yield_per=_BATCH).execute(query)


def _bytes(cell: object) -> bytes:
    """A cell's bytes; SQLite lets anybody store a value of another type."""
    return cell if isinstance(cell, bytes) else str(cell).encode()


def _hop(payload: object) -> HopRecord:
    record = decoded(payload)
    if not isinstance(record, HopRecord):
        raise StoreError(Reason.AUDIT_UNAVAILABLE, "a row is indexed as a hop and isn't one; run hopgate audit verify")
    return record


def decoded(payload: object) -> AnyRecord:
    """The record of a row."""
    try:
        return decode(_bytes(payload))
    except ValueError as error:
        raise StoreError(
            Reason.AUDIT_UNAVAILABLE, "a record can't be read; run hopgate audit verify to find it"
        ) from error


def _cursor(record: HopRecord) -> Cursor:
    return record.at, record.writer, record.seq
