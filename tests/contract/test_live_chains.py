"""Contract of ``core.ports.LiveChains``: every process sees who works where, until the chain is over."""

import asyncio
from typing import Any

import pytest

from gateway.core.ancestry import LISTED, Participation
from gateway.core.model import SpiffeId
from gateway.store.live_chains import KEPT_SECONDS

NOW = 1_800_000_000
ANALYST, AUDITOR = SpiffeId("spiffe://t/analyst"), SpiffeId("spiffe://t/auditor")


def part(txn: str = "t1", depth: int = 2, *, sub: str = "corp|maria", agent: SpiffeId = ANALYST) -> Participation:
    return Participation(sub, agent, txn, depth, NOW + 900)


async def test_what_one_process_joins_every_process_sees(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        await one.live_chains.join(part(), NOW)
        for store in (one, other):
            assert await store.live_chains.of(ANALYST, "corp|maria", NOW) == (part(),)
    async with open_store() as later:
        assert await later.live_chains.of(ANALYST, "corp|maria", NOW + 899) == (part(),)
        assert await later.live_chains.of(ANALYST, "corp|maria", NOW + 900) == ()


async def test_only_this_agent_and_this_user_or_anybody(open_store: Any) -> None:
    mine, others, elsewhere = part(), part("t2", 3, sub="corp|jan"), part("t3", agent=AUDITOR)
    async with open_store() as store:
        for each in (mine, others, elsewhere):
            await store.live_chains.join(each, NOW)
        assert await store.live_chains.of(ANALYST, "corp|maria", NOW) == (mine,)
        assert await store.live_chains.of(ANALYST, "corp|nobody", NOW) == ()
        assert await store.live_chains.of(ANALYST, None, NOW) == (others, mine)


@pytest.mark.parametrize("depths", [(2, 4, 3), (4, 3, 2)])
async def test_the_deepest_depth_of_a_chain_counts(open_store: Any, depths: tuple[int, ...]) -> None:
    async with open_store() as one, open_store() as other:
        for number, depth in enumerate(depths):
            await (one if number % 2 else other).live_chains.join(part(depth=depth), NOW)
        assert await one.live_chains.of(ANALYST, "corp|maria", NOW) == (part(depth=4),)


async def test_many_at_once(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        parts = [part(f"t{number}", 1 + number % 5) for number in range(40)]
        await asyncio.gather(
            *((one if number % 2 else other).live_chains.join(each, NOW) for number, each in enumerate(parts))
        )
        found = await one.live_chains.of(ANALYST, "corp|maria", NOW)
    assert len(found) == LISTED
    assert [each.depth for each in found] == sorted((each.depth for each in parts), reverse=True)[:LISTED]


async def test_what_is_over_is_forgotten(open_store: Any) -> None:
    async with open_store() as store:
        await store.live_chains.join(part(), NOW)
        over = NOW + 900 + KEPT_SECONDS
        for now in (over, over + 1):
            later = Participation("corp|maria", ANALYST, f"at {now}", 1, now + 900)
            await store.live_chains.join(later, now)
            # Asked as of then, to see what is still stored.
            kept = {each.txn for each in await store.live_chains.of(ANALYST, "corp|maria", NOW)}
            assert ("t1" in kept) == (now == over)
