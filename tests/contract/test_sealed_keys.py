"""Contract of ``core.ports.SealedKeys``: one key a number, whoever asks, and a new beginning that is one step."""

import asyncio
from typing import Any

import msgspec

from gateway.core.key_schedule import SealedKey

NOW = 1_800_000_000


def key(number: int, kid: str = "k", **changed: Any) -> SealedKey:
    made = SealedKey(number=number, kid=kid, algorithm="ES256", sealed=f"{kid}!", made_at=NOW, signs_from=NOW)
    return msgspec.structs.replace(made, **changed)


async def test_what_was_added_is_what_another_process_reads(open_store: Any) -> None:
    keys = (key(1, "a"), key(2, "b", algorithm="EdDSA", signs_from=NOW + 60))
    async with open_store() as store:
        assert await store.sealed_keys.all() == ()
        for each in reversed(keys):
            assert await store.sealed_keys.add(each)
    async with open_store() as store:
        assert await store.sealed_keys.all() == keys


async def test_of_many_at_once_one_takes_the_number(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        proposed = [key(1, f"k{number}") for number in range(40)]
        won = await asyncio.gather(
            *((one if number % 2 else other).sealed_keys.add(each) for number, each in enumerate(proposed))
        )
        assert sum(won) == 1
        assert await one.sealed_keys.all() == await other.sealed_keys.all() == (proposed[won.index(True)],)


async def test_a_new_beginning_distrusts_all_others(open_store: Any) -> None:
    async with open_store() as store:
        await store.sealed_keys.add(key(1, "a", distrusted_at=NOW - 9, sealed=""))
        await store.sealed_keys.add(key(2, "b"))
        assert await store.sealed_keys.begin_anew(key(3, "c", made_at=NOW + 5))
        found = await store.sealed_keys.all()
        assert [(each.kid, each.sealed, each.distrusted_at) for each in found] == [
            ("a", "", NOW - 9),
            ("b", "", NOW + 5),
            ("c", "c!", 0),
        ]


async def test_a_new_beginning_that_comes_second_changes_nothing(open_store: Any) -> None:
    async with open_store() as store:
        await store.sealed_keys.add(key(1, "a"))
        await store.sealed_keys.add(key(2, "b"))
        assert not await store.sealed_keys.begin_anew(key(2, "c"))
        assert await store.sealed_keys.all() == (key(1, "a"), key(2, "b"))


async def test_what_is_sealed_is_replaced_only_where_it_is_still_the_same(open_store: Any) -> None:
    async with open_store() as store:
        await store.sealed_keys.add(key(1, "a"))
        await store.sealed_keys.reseal(1, "another", "stolen")
        assert await store.sealed_keys.all() == (key(1, "a"),)
        await store.sealed_keys.reseal(1, "a!", "less")
        assert await store.sealed_keys.all() == (key(1, "a", sealed="less"),)


async def test_forgotten_keys_are_gone(open_store: Any) -> None:
    async with open_store() as store:
        for number in (1, 2, 3):
            await store.sealed_keys.add(key(number))
        await store.sealed_keys.forget([1, 3, 9])
        assert await store.sealed_keys.all() == (key(2),)
