"""Contract of ``core.approval_port.Approvals``: one open a call, each change a compare-and-set, arguments erased."""

import asyncio
from typing import Any

from gateway.core import approval as life
from gateway.core.approval import Approval
from tests.core.approvals import NOW, an_approval, yes


async def test_what_is_asked_twice_is_asked_once(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        asked = [an_approval(id=f"a{number}") for number in range(12)]
        kept = await asyncio.gather(
            *((one if number % 2 else other).approvals.ask(each, "s", 5) for number, each in enumerate(asked))
        )
        assert len({each.approval.id for each in kept}) == 1
        [found] = await one.approvals.page(life.OPEN, None, 10)
        assert found == kept[0]


async def test_each_asker_has_so_many_open(open_store: Any) -> None:
    async with open_store() as store:
        first = an_approval(id="a", binding="a")
        for name in ("a", "b"):
            assert await store.approvals.ask(an_approval(id=name, binding=name), "s", 2) is not None
        assert await store.approvals.ask(an_approval(id="c", binding="c"), "s", 2) is None
        assert await store.approvals.ask(an_approval(id="d", binding="c", whose="bob"), "s", 2) is not None
        assert await store.approvals.replace(first, life.cancel(first, "me", NOW))
        assert await store.approvals.ask(an_approval(id="c", binding="c2"), "s", 2) is not None


async def test_one_of_many_changes_wins_and_only_one_consumes(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        asked = an_approval()
        await one.approvals.ask(asked, "s", 5)
        approved = life.vote(asked, yes("ann"))
        assert await one.approvals.replace(asked, approved)
        assert not await other.approvals.replace(asked, life.vote(asked, yes("bob")))
        taken = await asyncio.gather(
            *(
                (one if number % 2 else other).approvals.replace(
                    approved, life.consume(approved, f"hop{number}", NOW, 60)
                )
                for number in range(12)
            )
        )
        assert sum(taken) == 1
        found = await other.approvals.find(asked.id)
        assert found.approval.state == "consumed"


async def test_arguments_are_erased_when_it_is_closed(open_store: Any) -> None:
    async with open_store() as store:
        asked = an_approval()
        await store.approvals.ask(asked, "sealed", 5)
        assert (await store.approvals.find(asked.id)).sealed == "sealed"
        approved = life.vote(asked, yes("ann"))
        assert await store.approvals.replace(asked, approved)
        assert (await store.approvals.find(asked.id)).sealed == "sealed"
        refused = life.cancel(approved, "me", NOW)
        assert await store.approvals.replace(approved, refused)
        found = await store.approvals.find(asked.id)
        assert (found.approval, found.sealed) == (refused, None)


async def test_the_newest_of_a_binding_and_pages(open_store: Any) -> None:
    async with open_store() as store:
        for number in range(5):
            asked = an_approval(id=f"a{number}")
            await store.approvals.ask(asked, "s", 5)
            assert await store.approvals.replace(asked, life.cancel(asked, "me", NOW))
        assert (await store.approvals.newest("binding")).approval.id == "a4"
        assert await store.approvals.newest("other") is None
        assert await store.approvals.page(life.OPEN, None, 10) == ()
        first = await store.approvals.page({"cancelled"}, None, 3)
        rest = await store.approvals.page({"cancelled"}, first[-1].place, 3)
        assert [each.approval.id for each in (*first, *rest)] == ["a4", "a3", "a2", "a1", "a0"]


async def test_what_has_lapsed_is_found_and_what_ended_long_ago_forgotten(open_store: Any) -> None:
    async with open_store() as store:
        asked = an_approval()
        await store.approvals.ask(asked, "s", 5)
        assert await store.approvals.lapsed(asked.decide_by - 1, 10) == ()
        [lapsed] = await store.approvals.lapsed(asked.decide_by, 10)
        expired: Approval = life.as_of(lapsed, asked.decide_by * 1000)
        assert expired.state == "expired"
        assert await store.approvals.replace(lapsed, expired)
        assert await store.approvals.lapsed(asked.decide_by, 10) == ()
        assert expired.ended_at is not None
        assert await store.approvals.forget(expired.ended_at) == 0
        assert await store.approvals.forget(expired.ended_at + 1) == 1
        assert await store.approvals.find(asked.id) is None


async def test_it_outlives_the_process(open_store: Any) -> None:
    async with open_store() as store:
        await store.approvals.ask(an_approval(), "s", 5)
    async with open_store() as store:
        assert (await store.approvals.find("a")).approval == an_approval()
