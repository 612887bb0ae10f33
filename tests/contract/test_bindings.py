"""Contract of ``core.ports.Bindings``: the first presenter of a root token wins, for good."""

import asyncio
from typing import Any

from gateway.core.ports import Binding
from gateway.store.bindings import LEEWAY_SECONDS

NOW = 1_800_000_000


def binding(agent: str, txn: str = "t1", ends: int = NOW + 900) -> Binding:
    return Binding(agent, txn, ends, ends + 86_400)


async def test_the_first_presenter_is_bound_and_later_ones_see_it(open_store: Any) -> None:
    async with open_store() as store:
        first = binding("agent:planner")
        assert await store.bindings.bind("d1", first, NOW) == first
        assert await store.bindings.bind("d1", binding("agent:thief", "t2"), NOW + 1) == first
        assert await store.bindings.bind("d2", binding("agent:thief", "t2"), NOW + 1) == binding("agent:thief", "t2")


async def test_many_at_once_agree_on_one(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        proposals = [binding(f"agent:{number}", f"t{number}") for number in range(40)]
        found = await asyncio.gather(
            *((one if number % 2 else other).bindings.bind("d", each, NOW) for number, each in enumerate(proposals))
        )
        assert len(set(found)) == 1
        assert found[0] in proposals


async def test_a_binding_outlives_the_process_the_chain_and_the_token(open_store: Any) -> None:
    first = binding("agent:planner")
    async with open_store() as store:
        await store.bindings.bind("d", first, NOW)
    async with open_store() as store:
        later = NOW + 900 + 86_400 + LEEWAY_SECONDS
        # Another token's binding cleans up; this one isn't old enough.
        await store.bindings.bind("other", binding("agent:x", "t3", later + 900), later)
        assert await store.bindings.bind("d", binding("agent:thief"), later) == first


async def test_old_bindings_are_forgotten(open_store: Any) -> None:
    async with open_store() as store:
        await store.bindings.bind("d", binding("agent:planner"), NOW)
        later = NOW + 900 + 86_400 + LEEWAY_SECONDS + 1
        await store.bindings.bind("other", binding("agent:x", "t3", later + 900), later)
        again = binding("agent:analyst", "t4", later + 900)
        assert await store.bindings.bind("d", again, later) == again


async def test_a_binding_once_seen_is_what_the_store_says(open_store: Any) -> None:
    first = binding("agent:planner")
    async with open_store() as one, open_store() as other:
        assert await one.bindings.bind("d", first, NOW) == first
        for now in (NOW, NOW + 900, first.token_expires, first.token_expires + 1):
            for store in (one, other):
                assert await store.bindings.bind("d", binding("agent:thief", "t2"), now) == first
