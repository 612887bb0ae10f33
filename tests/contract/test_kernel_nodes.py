"""Contract of ``core.kernel.standing.KernelNodes``: a generation is of one content and never falls; events go on."""

import asyncio
from typing import Any

from gateway.core.kernel.standing import Mark


async def test_a_generation_is_of_one_content_and_never_falls(open_store: Any) -> None:
    async with open_store() as store:
        nodes = store.kernel_nodes
        assert await nodes.issued("a") == 0
        assert [await nodes.issue("a", content, 0) for content in ("x", "x", "y", "x")] == [1, 1, 2, 3]
        assert await nodes.issue("b", "x", 0) == 1, "nodes count apart"
    async with open_store() as store:
        nodes = store.kernel_nodes
        assert (await nodes.issued("a"), await nodes.issue("a", "x", 0)) == (3, 3)
        assert await nodes.issue("a", "x", 3) == 4, "the same rules above what the loader has"
        assert await nodes.issue("a", "x", 90) == 91


async def test_processes_that_issue_at_once_agree(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        stores = [one if number % 2 else other for number in range(20)]
        assert set(await asyncio.gather(*(each.kernel_nodes.issue("a", "x", 0) for each in stores))) == {1}
        different = [each.kernel_nodes.issue("a", f"y{number}", 0) for number, each in enumerate(stores)]
        assert sorted(await asyncio.gather(*different)) == list(range(2, 22))


async def test_how_far_events_are_recorded_outlives_the_process(open_store: Any) -> None:
    async with open_store() as store:
        assert await store.kernel_nodes.seen("a") == Mark()
        await store.kernel_nodes.saw("a", Mark(1_800_000_000_123, 7))
        assert await store.kernel_nodes.issue("a", "x", 0) == 1
    async with open_store() as store:
        assert await store.kernel_nodes.seen("a") == Mark(1_800_000_000_123, 7)
        assert await store.kernel_nodes.seen("b") == Mark()
