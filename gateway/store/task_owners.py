"""Who created which A2A task. Fulfils ``core.ports.TaskOwners``.

A task is owned until it expires; then its id is free again.
"""

import time
from collections.abc import Callable, Collection

from sqlalchemy import Select, delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.state import transaction
from gateway.store.tables import task_owners

ASKED_AT_ONCE = 500
"""Databases bound the parameters of one statement."""


class SqlTaskOwners:
    """Task owners in the state database. ``clock`` gives Unix seconds."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    async def claim(self, route: str, task_id: str, owner: str, expires: int) -> bool:
        """Whether ``owner`` owns the task after an atomic insert-if-absent. ``expires`` in Unix seconds.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        row = {"route": route, "task_id": task_id, "owner": owner, "expires": expires}
        async with transaction(self._engine) as connection:
            await connection.execute(delete(task_owners).where(task_owners.c.expires <= int(self._clock())))
            await connection.execute(insert(task_owners).values(row).on_conflict_do_nothing())
            found = await connection.execute(_owner_of(route, task_id))
            return bool(found.scalar_one() == owner)

    async def owner(self, route: str, task_id: str) -> str | None:
        """The owner, or None for an unknown or expired task.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        query = _owner_of(route, task_id).where(task_owners.c.expires > int(self._clock()))
        async with transaction(self._engine) as connection:
            found: str | None = (await connection.execute(query)).scalar_one_or_none()
        return found

    async def owned(self, route: str, task_ids: Collection[str], owner: str) -> frozenset[str]:
        """Those of ``task_ids`` that ``owner`` owns.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        found: set[str] = set()
        named = tuple(task_ids)
        async with transaction(self._engine) as connection:
            for start in range(0, len(named), ASKED_AT_ONCE):
                query = select(task_owners.c.task_id).where(
                    task_owners.c.route == route,
                    task_owners.c.task_id.in_(named[start : start + ASKED_AT_ONCE]),
                    task_owners.c.owner == owner,
                    task_owners.c.expires > int(self._clock()),
                )
                found.update((await connection.execute(query)).scalars())
        return frozenset(found)


def _owner_of(route: str, task_id: str) -> Select[str]:
    return select(task_owners.c.owner).where(task_owners.c.route == route, task_owners.c.task_id == task_id)
