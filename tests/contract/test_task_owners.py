"""Contract of ``core.ports.TaskOwners``: whoever claimed a task first owns it until it expires."""

import asyncio
from typing import Any


async def test_the_first_claim_owns(open_store: Any, clock: Any) -> None:
    async with open_store() as store:
        ends = int(clock.now) + 60
        assert await store.task_owners.claim("/a2a/x", "task", "alice", ends)
        assert await store.task_owners.claim("/a2a/x", "task", "alice", ends)
        assert not await store.task_owners.claim("/a2a/x", "task", "mallory", ends)
        assert await store.task_owners.owner("/a2a/x", "task") == "alice"


async def test_tasks_are_apart_by_route_and_id(open_store: Any, clock: Any) -> None:
    async with open_store() as store:
        ends = int(clock.now) + 60
        assert await store.task_owners.claim("/a2a/x", "task", "alice", ends)
        assert await store.task_owners.owner("/a2a/y", "task") is None
        assert await store.task_owners.owner("/a2a/x", "other") is None
        assert await store.task_owners.claim("/a2a/y", "task", "bob", ends)


async def test_one_of_many_claims_wins(open_store: Any, clock: Any) -> None:
    async with open_store() as one, open_store() as other:
        claims = [
            (one if number % 2 else other).task_owners.claim("r", "t", f"owner-{number}", int(clock.now) + 60)
            for number in range(40)
        ]
        assert sum(await asyncio.gather(*claims)) == 1


async def test_an_expired_task_is_nobodys(open_store: Any, clock: Any) -> None:
    async with open_store() as store:
        await store.task_owners.claim("r", "t", "alice", int(clock.now) + 60)
        clock.now += 60
        assert await store.task_owners.owner("r", "t") is None
        assert await store.task_owners.claim("r", "t", "bob", int(clock.now) + 60)
        assert await store.task_owners.owner("r", "t") == "bob"


async def test_of_many_tasks_those_of_one_owner(open_store: Any, clock: Any) -> None:
    async with open_store() as store:
        ends = int(clock.now) + 60
        mine = [f"task-{number}" for number in range(600)]
        await store.task_owners.claim("r", mine[0], "alice", ends)
        await store.task_owners.claim("r", mine[-1], "alice", ends)
        await store.task_owners.claim("r", mine[1], "mallory", ends)
        await store.task_owners.claim("other", mine[2], "alice", ends)
        await store.task_owners.claim("r", mine[3], "alice", ends - 60 + 1)
        clock.now += 1
        assert await store.task_owners.owned("r", mine, "alice") == {mine[0], mine[-1]}
        assert await store.task_owners.owned("r", [], "alice") == frozenset()


async def test_a_task_keeps_what_it_was_made_with(open_store: Any, clock: Any) -> None:
    async with open_store() as store:
        owners, ends = store.task_owners, int(clock.now) + 60
        assert await owners.claim("r", "t", "alice", ends, "ledger/pay")
        assert await owners.claim("r", "t", "alice", ends, "ledger/pay")
        assert not await owners.claim("r", "t", "alice", ends, "ledger/read")
        assert not await owners.claim("r", "t", "alice", ends)
        assert await owners.claim("r", "plain", "alice", ends)
        assert await owners.origins("r", ["t", "plain", "none"], "alice") == {"t": "ledger/pay", "plain": ""}
        assert await owners.origins("r", ["t"], "mallory") == {}
        assert await owners.origins("s", ["t"], "alice") == {}
        clock.now += 60
        assert await owners.origins("r", ["t"], "alice") == {}
