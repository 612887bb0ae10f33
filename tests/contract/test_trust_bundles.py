"""Contract of ``core.ports.TrustBundles``: the last good document, never an older one; a sequence that only grows."""

import asyncio
from typing import Any

from gateway.core.keeping import KeptBundle

NOW = 1_800_000_000


async def test_what_was_kept_last_outlives_the_process(open_store: Any) -> None:
    async with open_store() as store:
        assert await store.trust_bundles.kept("b.test") is None
        await store.trust_bundles.keep("b.test", KeptBundle(b"one", NOW), 1)
        await store.trust_bundles.keep("b.test", KeptBundle(b"two", NOW + 1), 2)
        await store.trust_bundles.keep("c.test", KeptBundle(b"other", NOW), 1)
    async with open_store() as store:
        assert await store.trust_bundles.kept("b.test") == KeptBundle(b"two", NOW + 1)
        assert await store.trust_bundles.kept("c.test") == KeptBundle(b"other", NOW)


async def test_no_older_sequence_replaces_a_newer_one(open_store: Any) -> None:
    async with open_store() as slow, open_store() as fast:
        await fast.trust_bundles.keep("b.test", KeptBundle(b"new", NOW), 7)
        await slow.trust_bundles.keep("b.test", KeptBundle(b"old", NOW + 5), 6)
        assert await slow.trust_bundles.kept("b.test") == KeptBundle(b"new", NOW)
        await slow.trust_bundles.keep("b.test", KeptBundle(b"same", NOW + 9), 7)
        assert await fast.trust_bundles.kept("b.test") == KeptBundle(b"same", NOW + 9)


async def test_the_own_sequence_grows_with_each_change_and_only_then(open_store: Any) -> None:
    async with open_store() as store:
        first = await store.trust_bundles.sequence("a.test", "x", NOW)
        assert first == NOW
        assert await store.trust_bundles.sequence("a.test", "x", NOW + 50) == first
    async with open_store() as store:
        second = await store.trust_bundles.sequence("a.test", "y", NOW - 50)
        assert second == first + 1, "also when the clock was set back"
        assert await store.trust_bundles.sequence("a.test", "x", NOW + 99) == NOW + 99
        assert await store.trust_bundles.kept("a.test") is None


async def test_processes_that_change_at_once_agree(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        found = await asyncio.gather(
            *((one if number % 2 else other).trust_bundles.sequence("a.test", "x", NOW) for number in range(20))
        )
    assert set(found) == {NOW}
