"""One writing process's audit database: chains records and makes groups of them durable.

Synchronous, for one thread at a time. Doesn't batch, wait or retry: ``audit`` does.
"""

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.core.audit import CheckpointRecord, Head, Record, Sealed, Signer, begin, checkpoint, extend
from gateway.core.errors import StoreError
from gateway.core.reasons import Reason
from gateway.store.audit_rows import policy_rows, row_of
from gateway.store.schema import SchemaMismatchError, upgrade
from gateway.store.sql import cause, make_private, writing_engine
from gateway.store.tables import record_policies, records


class CheckpointRule(Struct, frozen=True):
    """When a checkpoint is due: after so many records, or so many seconds with any new record."""

    records: int = 1000
    seconds: float = 10.0


class Committed(Struct, frozen=True):
    """What one commit did: an error for each record that could not be written, else None; and a checkpoint."""

    errors: Sequence[StoreError | None]
    checkpoint: CheckpointRecord | None


class AuditFile:
    """The open file of one boot. ``writer`` is ``<instance>/<worker>/<boot>`` and never used twice."""

    def __init__(
        self,
        path: Path,
        writer: str,
        signer: Signer | None = None,
        *,
        rule: CheckpointRule | None = None,
        clock: Callable[[], float] = time.time,
        busy_seconds: float = 2.0,
    ) -> None:
        """Create or upgrade the file, and write this boot's genesis with a first checkpoint.

        Without ``signer`` there are no checkpoints. ``clock`` gives Unix seconds.

        Raises:
            StoreError: AUDIT_UNAVAILABLE; another process writes the file, it can't be used, or it is newer.
        """
        self.path = path
        self.rule = rule or CheckpointRule()
        self._signer = signer
        self._clock = clock
        self._writer = writer
        self.closed = False
        self._unsigned = 0
        self._signed_at = clock()
        self._lock = _lock(path)
        self._engine = writing_engine(path, busy_seconds)
        try:
            make_private(path)
            self._inode = path.stat().st_ino
            self._head: Head | None = self._start()
        except (OSError, SQLAlchemyError, SchemaMismatchError) as error:
            self._engine.dispose()
            os.close(self._lock)
            raise _unavailable(path, error) from error

    def commit(self, group: Sequence[Record]) -> Committed:
        """Make a group durable in one transaction, with a checkpoint if one is due.

        Raises:
            StoreError: AUDIT_UNAVAILABLE; none of the group may be taken as recorded.
        """
        try:
            self._check_in_place()
            head = self._head or self._read_head()
            # Until the commit is known to have worked, the end of the chain is unknown.
            self._head = None
            chained, errors = _chain(head, group)
            head = chained[-1].head if chained else head
            signed = self._checkpoint(head, len(chained))
            if signed is not None:
                chained.append(signed)
            self._write(chained)
        except (OSError, SQLAlchemyError) as error:
            # A connection that failed half way may not know what is on the disk.
            self._engine.dispose()
            raise _unavailable(self.path, error) from error
        self._head = chained[-1].head if chained else head
        return Committed(errors, self._count(len(group), signed))

    def close(self) -> None:
        """Write a last checkpoint if there is something new to sign, and let go of the file.

        Raises:
            StoreError: AUDIT_UNAVAILABLE, the checkpoint could not be written; the file is let go all the same.
        """
        self.closed = True
        try:
            if self._unsigned:
                self._signed_at = float("-inf")
                self.commit(())
        finally:
            self._engine.dispose()
            os.close(self._lock)

    def _start(self) -> Head:
        with self._engine.begin() as connection:
            upgrade(connection, "audit")
            genesis = begin(self._writer, self._now(), _last_head(connection))
            opening = [genesis]
            if self._signer is not None:
                opening.append(extend(genesis.head, checkpoint(genesis.head, (), self._now(), self._signer)))
            _insert(connection, opening)
        return opening[-1].head

    def _read_head(self) -> Head:
        with self._engine.begin() as connection:
            head = _last_head(connection)
        if head is None or head.writer != self._writer:
            raise StoreError(Reason.AUDIT_UNAVAILABLE, f"{self.path} no longer ends with this process's chain")
        return head

    def _check_in_place(self) -> None:
        # SQLite would go on writing into a file that somebody removed or replaced.
        if self.path.stat().st_ino != self._inode:
            raise StoreError(Reason.AUDIT_UNAVAILABLE, f"{self.path} was replaced; restart the gateway")

    def _checkpoint(self, head: Head, added: int) -> Sealed | None:
        unsigned = self._unsigned + added
        late = self._clock() - self._signed_at >= self.rule.seconds
        if self._signer is None or not unsigned or not (late or unsigned >= self.rule.records):
            return None
        return extend(head, checkpoint(head, (), self._now(), self._signer))

    def _count(self, added: int, signed: Sealed | None) -> CheckpointRecord | None:
        if signed is None or not isinstance(signed.record, CheckpointRecord):
            self._unsigned += added
            return None
        self._unsigned, self._signed_at = 0, self._clock()
        return signed.record

    def _write(self, chained: Sequence[Sealed]) -> None:
        if chained:
            with self._engine.begin() as connection:
                _insert(connection, chained)

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _chain(head: Head, group: Sequence[Record]) -> tuple[list[Sealed], list[StoreError | None]]:
    """Chain what can be written; a record that has no bytes fails alone."""
    chained: list[Sealed] = []
    errors: list[StoreError | None] = []
    for record in group:
        try:
            chained.append(extend(chained[-1].head if chained else head, record))
            errors.append(None)
        except ValueError as error:
            detail = f"record {record.id} can't be written: {type(error).__name__}"
            errors.append(StoreError(Reason.AUDIT_UNAVAILABLE, detail))
    return chained, errors


def _insert(connection: Connection, chained: Sequence[Sealed]) -> None:
    connection.execute(insert(records), [row_of(sealed) for sealed in chained])
    policies = [row for sealed in chained for row in policy_rows(sealed.record)]
    if policies:
        connection.execute(insert(record_policies), policies)


def _last_head(connection: Connection) -> Head | None:
    last = select(records.c.writer, records.c.seq, records.c.link).order_by(records.c.entry.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    return None if row is None else Head(row.writer, row.seq, row.link.hex())


def _lock(path: Path) -> int:
    """Hold ``<path>.lock`` for as long as the process lives: two writers would fork the chain."""
    try:
        descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unavailable(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        detail = f"{path} is written by another process; give each gateway a store of its own"
        raise StoreError(Reason.AUDIT_UNAVAILABLE, detail) from error
    return descriptor


def _unavailable(path: Path, error: OSError | SQLAlchemyError | SchemaMismatchError) -> StoreError:
    if isinstance(error, SQLAlchemyError):
        why = cause(error)
    else:
        why = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
    return StoreError(Reason.AUDIT_UNAVAILABLE, f"{path}: {why}")
