"""Contract of ``core.ports.SingleUse``: once, whoever asks, and remembered as long as it could be presented."""

import asyncio
from typing import Any

from gateway.store.single_use import KEPT_SECONDS

NOW = 1_800_000_000


async def test_only_the_first_time_counts(open_store: Any) -> None:
    async with open_store() as store:
        assert await store.single_use.spend("assertion:a", NOW + 60, NOW)
        assert not await store.single_use.spend("assertion:a", NOW + 60, NOW)
        assert await store.single_use.spend("assertion:b", NOW + 60, NOW)


async def test_of_many_at_once_one_wins(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        spent = await asyncio.gather(
            *((one if number % 2 else other).single_use.spend("k", NOW + 60, NOW) for number in range(40))
        )
        assert sum(spent) == 1


async def test_a_spent_key_outlives_the_process_and_its_end(open_store: Any) -> None:
    async with open_store() as store:
        assert await store.single_use.spend("k", NOW + 60, NOW)
    async with open_store() as store:
        assert await store.single_use.spend("other", NOW + 999, NOW + 60 + KEPT_SECONDS)
        assert not await store.single_use.spend("k", NOW + 60, NOW + 60 + KEPT_SECONDS)


async def test_old_keys_are_forgotten(open_store: Any) -> None:
    async with open_store() as store:
        assert await store.single_use.spend("k", NOW + 60, NOW)
        later = NOW + 60 + KEPT_SECONDS + 1
        assert await store.single_use.spend("other", later + 60, later)
        assert await store.single_use.spend("k", later + 60, later)
