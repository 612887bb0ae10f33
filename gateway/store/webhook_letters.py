"""The outbox of webhooks in the state database. Fulfils ``core.webhook_letters.Letters``.

A letter is claimed by one sender at a time, and a sender that is killed loses only time: its claim ends. Doesn't know
what an attempt means for a letter: ``core.webhook_letters`` does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import RowMapping, and_, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.webhook_letters import Letter, Standing
from gateway.store.state import transaction
from gateway.store.tables import webhook_letters as table


async def post(connection: AsyncConnection, letters: Sequence[Letter]) -> None:
    """Put letters into the outbox, within the transaction of what they tell of; each of them once."""
    if letters:
        rows = [msgspec.structs.asdict(letter) for letter in letters]
        await connection.execute(insert(table).values(rows).on_conflict_do_nothing())


class SqlLetters:
    """Letters shared by all processes of a deployment. Raises StoreError, STORE_UNAVAILABLE, everywhere."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def targets(self, now: int) -> tuple[str, ...]:
        """For which targets something is due at ``now`` (Unix milliseconds)."""
        query = select(table.c.target).where(_due(now)).distinct().order_by(table.c.target)
        async with transaction(self._engine) as connection:
            return tuple((await connection.execute(query)).scalars())

    async def claim(self, target: str, now: int, until: int) -> Letter | None:
        """The target's next letter, nobody else's until ``until``; None: nothing is due."""
        query = select(table).where(_due(now), table.c.target == target).order_by(table.c.due, table.c.place).limit(1)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                return None
            found = msgspec.structs.replace(_letter(row), attempts=row["attempts"] + 1, due=until)
            changes = {"attempts": found.attempts, "due": until}
            await connection.execute(update(table).where(table.c.place == row["place"]).values(**changes))
        return found

    async def settle(self, before: Letter, after: Letter) -> bool:
        """Whether ``before`` was how it stood, and ``after`` is now."""
        same = and_(
            table.c.id == before.id,
            table.c.standing == before.standing,
            table.c.attempts == before.attempts,
            table.c.due == before.due,
        )
        async with transaction(self._engine) as connection:
            changed = await connection.execute(update(table).where(same).values(**msgspec.structs.asdict(after)))
        return bool(changed.rowcount)

    async def page(self, standing: Standing, before: int | None, limit: int) -> tuple[tuple[int, Letter], ...]:
        """The newest letters of a standing, each with its place, before the one of place ``before``."""
        query = select(table).where(table.c.standing == standing).order_by(table.c.place.desc()).limit(limit)
        if before is not None:
            query = query.where(table.c.place < before)
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(query)).mappings()
            return tuple((row["place"], _letter(row)) for row in rows)

    async def find(self, name: str) -> Letter | None:
        """One letter by its id."""
        async with transaction(self._engine) as connection:
            row = (await connection.execute(select(table).where(table.c.id == name))).mappings().one_or_none()
        return None if row is None else _letter(row)

    async def counts(self) -> Mapping[Standing, int]:
        """How many there are of each standing."""
        query = select(table.c.standing, func.count()).group_by(table.c.standing)
        async with transaction(self._engine) as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def forget(self, before: int) -> int:
        """How many were deleted that wait no longer and were last tried before then."""
        over = and_(table.c.standing != "waiting", table.c.last_at < before)
        async with transaction(self._engine) as connection:
            deleted = await connection.execute(delete(table).where(over))
        return int(deleted.rowcount)


def _due(now: int) -> Any:
    return and_(table.c.standing == "waiting", table.c.due <= now)


def _letter(row: RowMapping) -> Letter:
    return Letter(**{name: row[name] for name in Letter.__struct_fields__})
