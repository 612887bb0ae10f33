"""Handles of trace-carried chains, by digest. Fulfils ``core.ports.Handles``; can't open what it keeps.

What was kept never changes, so it is read once a process.
"""

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.recent import Recent
from gateway.store.state import transaction
from gateway.store.tables import handles

REMEMBERED = 5_000
"""Handles kept in memory; the oldest are read again."""


class SqlHandles:
    """Handles in the state database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._known = Recent[str, tuple[str, int]](REMEMBERED)

    async def keep(self, digest: str, sealed: str, expires: int, now: int) -> None:
        """Keep one handle's facts until ``expires``; times are Unix seconds.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        async with transaction(self._engine) as connection:
            await connection.execute(insert(handles).values(digest=digest, sealed=sealed, expires=expires))
            await connection.execute(delete(handles).where(handles.c.expires <= now))

    async def find(self, digest: str, now: int) -> str | None:
        """What was kept; None for an unknown handle or one that is over.

        Raises:
            StoreError: STORE_UNAVAILABLE; a handle that this process has seen needs no store.
        """
        known = self._known.get(digest)
        if known is None:
            async with transaction(self._engine) as connection:
                query = select(handles.c.sealed, handles.c.expires).where(handles.c.digest == digest)
                row = (await connection.execute(query)).one_or_none()
            if row is None:
                return None
            known = (row.sealed, row.expires)
            self._known.put(digest, known)
        sealed, expires = known
        return sealed if now < expires else None
