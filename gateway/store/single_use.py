"""What may be presented once. Fulfils ``core.ports.SingleUse``; decides nothing of what was presented."""

from sqlalchemy import delete
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.state import transaction
from gateway.store.tables import single_use

KEPT_SECONDS = 600
"""How long after its end a key is kept: more than any configured clock leeway."""


class SqlSingleUse:
    """Spent keys in the state database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def spend(self, key: str, expires: int, now: int) -> bool:
        """Whether this was the first time. Times are Unix seconds.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        async with transaction(self._engine) as connection:
            added = await connection.execute(
                insert(single_use).values(key=key, expires=expires).on_conflict_do_nothing()
            )
            if added.rowcount:
                await connection.execute(delete(single_use).where(single_use.c.expires < now - KEPT_SECONDS))
        return bool(added.rowcount)
