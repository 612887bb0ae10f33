"""What was revoked, and lifted again. Fulfils ``core.ports.Revocations``; decides nothing of its effect.

Rows are only added. What every process asks all the time, the epoch, is read over a connection of its own that
waits for no writer, in a thread of its own that waits for nobody else's work.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, RowMapping, Select, and_, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.errors import StoreError
from gateway.core.ports import Request, Standing, State
from gateway.core.reasons import Reason
from gateway.core.revocation import Revocation, Target
from gateway.store.sql import cause, reading_engine
from gateway.store.state import transaction
from gateway.store.tables import revocations

T = TypeVar("T")

_made = revocations.alias("made")
_lift = revocations.alias("lift")
_LIFTED = and_(_lift.c.id == _made.c.id, _lift.c.event == "lifted")


class SqlRevocations:
    """Revocations in the state database: ``engine`` writes, ``path`` is the same file, read beside it."""

    def __init__(self, engine: AsyncEngine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._reader = reading_engine(path)
        self._inode = path.stat().st_ino
        self._thread = ThreadPoolExecutor(1, "revocations")

    async def append(self, revocation: Revocation, request: Request | None = None) -> Revocation | None:
        """The revocation kept under ``request``: this one, or the one that the same request made before.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        row = {
            "id": revocation.id,
            "event": "made",
            "at": revocation.at,
            "by": revocation.by,
            "reason": revocation.reason,
            "target": msgspec.json.encode(revocation.target),
            "expires": revocation.expires,
            "request_key": None if request is None else request.key,
            "request_digest": None if request is None else request.digest,
        }
        async with transaction(self._engine) as connection:
            added = await connection.execute(insert(revocations).values(row).on_conflict_do_nothing())
            if added.rowcount or request is None:
                return revocation if added.rowcount else None
            same = select(revocations).where(
                revocations.c.request_key == request.key, revocations.c.request_digest == request.digest
            )
            found = (await connection.execute(same)).mappings().one_or_none()
        return None if found is None else _revocation(found)

    async def lift(self, revocation: str, by: str, reason: str, at: int) -> bool:
        """Whether this ended it.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        row = {"id": revocation, "event": "lifted", "at": at, "by": by, "reason": reason}
        known = select(revocations.c.id).where(revocations.c.id == revocation, revocations.c.event == "made")
        async with transaction(self._engine) as connection:
            if (await connection.execute(known)).one_or_none() is None:
                return False
            added = await connection.execute(insert(revocations).values(row).on_conflict_do_nothing())
        return bool(added.rowcount)

    async def find(self, revocation: str) -> Standing | None:
        """One revocation, in force or not.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        query = _standings().where(_made.c.id == revocation)
        found = await self._read(lambda connection: connection.execute(query).mappings().one_or_none())
        return None if found is None else _standing(found)

    async def page(self, state: State | None, now: int, before: int | None, limit: int) -> tuple[Standing, ...]:
        """The newest, made before the one of place ``before``.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        query = _standings().order_by(_made.c.seq.desc()).limit(limit)
        if state is not None:
            query = query.where(_lift.c.id.is_not(None) if state == "lifted" else _lift.c.id.is_(None))
        if state == "in_force":
            query = query.where(_made.c.expires.is_(None) | (_made.c.expires > now))
        if state == "expired":
            query = query.where(_made.c.expires <= now)
        if before is not None:
            query = query.where(_made.c.seq < before)
        rows = await self._read(lambda connection: connection.execute(query).mappings().all())
        return tuple(map(_standing, rows))

    async def epoch(self) -> tuple[int, float]:
        """The epoch, which grows with every change, and when it was read (``time.monotonic``).

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """

        def read(connection: Connection) -> tuple[int, float]:
            # Taken here: how long it took to get a thread says nothing of how old the answer is.
            at = time.monotonic()
            return _epoch(connection), at

        return await self._read(read)

    async def in_force(self, now: int) -> tuple[int, tuple[Revocation, ...]]:
        """The epoch, and what was neither lifted nor has expired at ``now`` (Unix seconds).

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        query = (
            select(_made)
            .outerjoin_from(_made, _lift, _LIFTED)
            .where(_made.c.event == "made", _lift.c.id.is_(None), _made.c.expires.is_(None) | (_made.c.expires > now))
        )

        def read(connection: Connection) -> tuple[int, list[RowMapping]]:
            # One transaction: the rows are those of the epoch.
            return _epoch(connection), list(connection.execute(query).mappings().all())

        epoch, rows = await self._read(read)
        return epoch, tuple(map(_revocation, rows))

    def close(self) -> None:
        """Let go of the file."""
        self._thread.shutdown(wait=True)
        self._reader.dispose()

    async def _read(self, ask: Callable[[Connection], T]) -> T:
        def read() -> T:
            try:
                # SQLite would go on reading a file that somebody removed or replaced.
                if self._path.stat().st_ino != self._inode:
                    raise StoreError(Reason.STORE_UNAVAILABLE, f"{self._path} was replaced; restart the gateway")
                with self._reader.begin() as connection:
                    return ask(connection)
            except OSError as error:
                detail = f"{self._path}: {error.strerror}"
                raise StoreError(Reason.STORE_UNAVAILABLE, detail) from error
            except SQLAlchemyError as error:
                self._reader.dispose()
                raise StoreError(Reason.STORE_UNAVAILABLE, cause(error)) from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, read)


def _epoch(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(revocations.c.seq), 0))).scalar_one())


def _standings() -> Select[Any]:
    lifted = (
        _lift.c.seq.label("lifted_seq"),
        _lift.c.at.label("lifted_at"),
        _lift.c.by.label("lifted_by"),
        _lift.c.reason.label("lifted_why"),
    )
    return select(_made, *lifted).outerjoin_from(_made, _lift, _LIFTED).where(_made.c.event == "made")


def _standing(row: RowMapping) -> Standing:
    seq = row["seq"] if row["lifted_seq"] is None else row["lifted_seq"]
    return Standing(seq, _revocation(row), row["lifted_at"], row["lifted_by"], row["lifted_why"])


def _revocation(row: RowMapping) -> Revocation:
    try:
        target = msgspec.json.decode(row["target"], type=Target)
    except msgspec.MsgspecError as error:
        # Nobody can tell what it revokes, so nobody can tell what is not revoked.
        raise StoreError(Reason.STORE_UNAVAILABLE, f"revocation {row['id']} can't be read") from error
    return Revocation(
        id=row["id"], target=target, reason=row["reason"], by=row["by"], at=row["at"], expires=row["expires"]
    )
