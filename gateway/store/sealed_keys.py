"""Generated signing keys. Fulfils ``core.ports.SealedKeys``; can't open them, and decides nothing about them."""

from collections.abc import Collection

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.key_schedule import SealedKey
from gateway.store.state import transaction
from gateway.store.tables import signing_keys


class SqlSealedKeys:
    """Signing keys in the state database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> tuple[SealedKey, ...]:
        """Every key, oldest first.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(select(signing_keys).order_by(signing_keys.c.number))).mappings().all()
        return tuple(SealedKey(**row) for row in rows)

    async def add(self, key: SealedKey) -> bool:
        """Whether ``key`` is the one that took its number.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        async with transaction(self._engine) as connection:
            return await _added(connection, key)

    async def begin_anew(self, key: SealedKey) -> bool:
        """``add``, and in the same transaction distrust every other key and forget its halves.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        others = update(signing_keys).where(signing_keys.c.number != key.number, signing_keys.c.distrusted_at == 0)
        async with transaction(self._engine) as connection:
            if not await _added(connection, key):
                return False
            await connection.execute(others.values(distrusted_at=key.made_at, sealed=""))
        return True

    async def reseal(self, number: int, before: str, after: str) -> None:
        """Replace what is sealed, unless another replica did already.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        one = update(signing_keys).where(signing_keys.c.number == number, signing_keys.c.sealed == before)
        async with transaction(self._engine) as connection:
            await connection.execute(one.values(sealed=after))

    async def forget(self, numbers: Collection[int]) -> None:
        """Delete keys.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        async with transaction(self._engine) as connection:
            await connection.execute(delete(signing_keys).where(signing_keys.c.number.in_(tuple(numbers))))


async def _added(connection: AsyncConnection, key: SealedKey) -> bool:
    added = await connection.execute(insert(signing_keys).values(msgspec.structs.asdict(key)).on_conflict_do_nothing())
    return bool(added.rowcount)
