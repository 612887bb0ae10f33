"""Who created which task, and with what. Fulfils ``core.ports.TaskOwners``.

A task is owned until it expires; then its id is free again.
"""

import time
from collections.abc import Callable, Collection, Mapping

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

    async def claim(self, route: str, task_id: str, owner: str, expires: int, origin: str = "") -> bool:
        """Whether ``owner`` owns the task, made with ``origin``, after an atomic insert-if-absent.

        ``expires`` is in Unix seconds.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        row = {"route": route, "task_id": task_id, "owner": owner, "origin": origin, "expires": expires}
        async with transaction(self._engine) as connection:
            await connection.execute(delete(task_owners).where(task_owners.c.expires <= int(self._clock())))
            await connection.execute(insert(task_owners).values(row).on_conflict_do_nothing())
            found = await connection.execute(_row_of(route, task_id))
            return tuple(found.one()) == (owner, origin)

    async def owner(self, route: str, task_id: str) -> str | None:
        """The owner, or None for an unknown or expired task.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        query = _row_of(route, task_id).where(task_owners.c.expires > int(self._clock()))
        async with transaction(self._engine) as connection:
            found = (await connection.execute(query)).one_or_none()
        return None if found is None else str(found.owner)

    async def owned(self, route: str, task_ids: Collection[str], owner: str) -> frozenset[str]:
        """Those of ``task_ids`` that ``owner`` owns.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        return frozenset(await self.origins(route, task_ids, owner))

    async def origins(self, route: str, task_ids: Collection[str], owner: str) -> Mapping[str, str]:
        """Those of ``task_ids`` that ``owner`` owns, with what each was made with.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        found: dict[str, str] = {}
        named = tuple(task_ids)
        async with transaction(self._engine) as connection:
            for start in range(0, len(named), ASKED_AT_ONCE):
                query = select(task_owners.c.task_id, task_owners.c.origin).where(
                    task_owners.c.route == route,
                    task_owners.c.task_id.in_(named[start : start + ASKED_AT_ONCE]),
                    task_owners.c.owner == owner,
                    task_owners.c.expires > int(self._clock()),
                )
                found.update((row.task_id, row.origin) for row in await connection.execute(query))
        return found


def _row_of(route: str, task_id: str) -> Select[str, str]:
    query = select(task_owners.c.owner, task_owners.c.origin)
    return query.where(task_owners.c.route == route, task_owners.c.task_id == task_id)
