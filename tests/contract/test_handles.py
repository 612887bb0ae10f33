"""Contract of ``core.ports.Handles``: what was kept is found, as it was, until it is over."""

from typing import Any

NOW = 1_800_000_000


async def test_what_was_kept_is_found_by_every_process(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        await one.handles.keep("d1", "sealed-1", NOW + 60, NOW)
        await other.handles.keep("d2", "sealed-2", NOW + 60, NOW)
        for store in (one, other):
            assert await store.handles.find("d1", NOW) == "sealed-1"
            assert await store.handles.find("d2", NOW) == "sealed-2"
            assert await store.handles.find("d3", NOW) is None


async def test_it_outlives_the_process_and_not_its_end(open_store: Any) -> None:
    async with open_store() as store:
        await store.handles.keep("d", "sealed", NOW + 60, NOW)
    async with open_store() as store:
        assert await store.handles.find("d", NOW + 59) == "sealed"
        assert await store.handles.find("d", NOW + 60) is None, "also where it was seen before"


async def test_what_is_over_is_forgotten(open_store: Any) -> None:
    async with open_store() as store:
        await store.handles.keep("d", "sealed", NOW + 60, NOW)
        await store.handles.keep("other", "sealed", NOW + 600, NOW + 60)
    async with open_store() as store:
        assert await store.handles.find("d", NOW) is None
        assert await store.handles.find("other", NOW) == "sealed"
