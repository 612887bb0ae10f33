"""What users let the gateway hold of third parties, sealed. Fulfils ``core.ports.UpstreamTokens``; can't open any.

A claim lets one process alone renew: a refresh token that is presented twice is taken for stolen.
"""

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.keeping import KeptGrant
from gateway.store.state import transaction
from gateway.store.tables import upstream_tokens as table


class Holding(Struct, frozen=True):
    """That something is held, for who lists it: never what. Times are Unix seconds."""

    sub: str
    server: str
    consented: int
    renewed: int


class SqlUpstreamTokens:
    """Sealed tokens in the state database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, sub: str, server: str) -> KeptGrant | None:
        """What is kept now.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        async with transaction(self._engine) as connection:
            found = await connection.execute(select(table.c.sealed, table.c.version).where(_of(sub, server)))
            row = found.one_or_none()
        return None if row is None else KeptGrant(row.sealed, row.version)

    async def keep(self, sub: str, server: str, sealed: str, now: int) -> None:
        """Keep ``sealed`` whatever was kept before.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        row = {"sealed": sealed, "consented": now, "renewed": now, "claimed_until": 0}
        async with transaction(self._engine) as connection:
            # Versions never come again, not even after forgetting: who read an older one must not replace the new one.
            await connection.execute(
                insert(table)
                .values(sub=sub, server=server, version=now, **row)
                .on_conflict_do_update(index_elements=["sub", "server"], set_={**row, "version": table.c.version + 1})
            )

    async def claim(self, sub: str, server: str, version: int, now: int, until: int) -> bool:
        """Whether the caller alone may renew ``version`` until then.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        free = and_(_of(sub, server), table.c.version == version, table.c.claimed_until <= now)
        async with transaction(self._engine) as connection:
            changed = await connection.execute(update(table).where(free).values(claimed_until=until))
        return bool(changed.rowcount)

    async def replace(self, sub: str, server: str, version: int, sealed: str, now: int) -> bool:
        """Whether ``version`` was still the kept one, and is replaced.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        kept = and_(_of(sub, server), table.c.version == version)
        row = {"sealed": sealed, "version": version + 1, "renewed": now, "claimed_until": 0}
        async with transaction(self._engine) as connection:
            changed = await connection.execute(update(table).where(kept).values(**row))
        return bool(changed.rowcount)

    async def release(self, sub: str, server: str, version: int) -> None:
        """Give the claim on ``version`` back.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        kept = and_(_of(sub, server), table.c.version == version)
        async with transaction(self._engine) as connection:
            await connection.execute(update(table).where(kept).values(claimed_until=0))

    async def forget(self, sub: str, server: str, version: int | None = None) -> bool:
        """Whether something was deleted.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        where = _of(sub, server)
        if version is not None:
            where = and_(where, table.c.version == version)
        async with transaction(self._engine) as connection:
            deleted = await connection.execute(delete(table).where(where))
        return bool(deleted.rowcount)

    async def holdings(self) -> tuple[Holding, ...]:
        """For whom something is held, and of what server.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        columns = (table.c.sub, table.c.server, table.c.consented, table.c.renewed)
        async with transaction(self._engine) as connection:
            rows = await connection.execute(select(*columns).order_by(table.c.sub, table.c.server))
            return tuple(Holding(*row) for row in rows)


def _of(sub: str, server: str) -> ColumnElement[bool]:
    return and_(table.c.sub == sub, table.c.server == server)
