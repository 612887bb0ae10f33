"""Contract of ``core.ports.Revocations``: nothing is removed, every change is seen by all, a lift ends one."""

import asyncio
import time
from typing import Any

import pytest

from gateway.core.errors import StoreError
from gateway.core.ports import Request
from gateway.core.reasons import Reason
from gateway.core.revocation import AgentTarget, AllTarget, AttributeTarget, Revocation, Target, view
from gateway.proxy.revoked import Revoked

NOW = 1_800_000_000


def made(name: str, target: Target | None = None, expires: int | None = None) -> Revocation:
    target = target or AgentTarget("analyst")
    return Revocation(id=name, target=target, reason="stolen", by="corp|ann", at=NOW * 1000, expires=expires)


async def epoch_of(store: Any) -> int:
    epoch, at = await store.revocations.epoch()
    assert 0 <= time.monotonic() - at < 5
    return int(epoch)


async def test_what_one_process_revokes_the_others_learn(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        before = await epoch_of(other)
        first = made("a", AttributeTarget("tag", "eu", "zone"), NOW + 5)
        assert await one.revocations.append(first) == first
        assert await epoch_of(other) > before
        assert await other.revocations.in_force(NOW) == (await epoch_of(one), (first,))
        assert (await other.revocations.in_force(NOW + 5))[1] == ()


async def test_it_outlives_the_process(open_store: Any) -> None:
    async with open_store() as store:
        await store.revocations.append(made("a", AllTarget()))
        epoch = await epoch_of(store)
    async with open_store() as store:
        assert await store.revocations.in_force(NOW) == (epoch, (made("a", AllTarget()),))


async def test_a_lift_ends_it_once_and_is_kept(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        await one.revocations.append(made("a"))
        await one.revocations.append(made("b"))
        before = await epoch_of(one)
        lifted = await asyncio.gather(
            *(store.revocations.lift("a", "corp|bob", "found", NOW * 1000 + 7) for store in (one, other))
        )
        assert sorted(lifted) == [False, True]
        assert not await one.revocations.lift("unknown", "corp|bob", "", 0)
        assert await epoch_of(other) == before + 1
        assert (await other.revocations.in_force(NOW))[1] == (made("b"),)
        found = await other.revocations.find("a")
        assert (found.revocation, found.lifted_at, found.lifted_by, found.lifted_why, found.state(NOW)) == (
            made("a"), NOW * 1000 + 7, "corp|bob", "found", "lifted",
        )  # fmt: skip
        assert found.seq == before + 1
        assert await other.revocations.find("unknown") is None


async def test_the_same_request_is_made_once(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        stores = [one, other] * 5
        found = await asyncio.gather(
            *(s.revocations.append(made(f"r{n}"), Request("ann:1", "digest")) for n, s in enumerate(stores))
        )
        [winner] = {each.id for each in found}
        assert [each.id for each in (await one.revocations.in_force(NOW))[1]] == [winner]
        assert await one.revocations.append(made("x"), Request("ann:1", "another")) is None
        assert await one.revocations.append(made("y"), Request("bob:1", "digest")) == made("y")


async def test_an_id_is_never_taken_twice(open_store: Any) -> None:
    async with open_store() as store:
        assert await store.revocations.append(made("a")) == made("a")
        assert await store.revocations.append(made("a", AllTarget())) is None
        assert (await store.revocations.in_force(NOW))[1] == (made("a"),)


async def test_pages_are_newest_first_and_by_state(open_store: Any) -> None:
    async with open_store() as store:
        for number in range(5):
            await store.revocations.append(made(f"r{number}", expires=NOW if number % 2 else None))
        await store.revocations.lift("r0", "b", "", 0)

        async def names(state: str | None, before: int | None = None, limit: int = 9) -> list[str]:
            return [each.revocation.id for each in await store.revocations.page(state, NOW, before, limit)]

        assert await names(None) == ["r4", "r3", "r2", "r1", "r0"]
        assert await names("in_force") == ["r4", "r2"]
        assert await names("expired") == ["r3", "r1"]
        assert await names("lifted") == ["r0"]
        first = await store.revocations.page(None, NOW, None, 2)
        assert await names(None, first[-1].seq, 2) == ["r2", "r1"]


async def test_two_processes_agree_within_a_second(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        here, there = Revoked(one.revocations), Revoked(other.revocations)
        await asyncio.gather(here.refresh(), there.refresh())
        await one.revocations.append(made("a", AllTarget()))
        await asyncio.gather(here.refresh(), there.refresh())
        assert here.view == there.view == view(1, [made("a", AllTarget())])


async def test_a_store_that_was_taken_away_says_so(open_store: Any, tmp_path: Any) -> None:
    async with open_store() as store:
        await store.revocations.append(made("a"))
        (tmp_path / "hopgate.db").rename(tmp_path / "elsewhere.db")
        for asked in (store.revocations.epoch(), store.revocations.in_force(NOW), store.revocations.find("a")):
            with pytest.raises(StoreError) as caught:
                await asked
            assert caught.value.reason is Reason.STORE_UNAVAILABLE
