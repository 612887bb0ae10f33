"""Contract of ``core.webhook_letters.Letters``: written with the change, each one sender's at a time, none is lost."""

import asyncio
from typing import Any

import msgspec

from gateway.core import approval as life
from gateway.core.webhook_letters import after_attempt, again
from tests.core.approvals import NOW, an_approval, yes

LATER = NOW + 120_000


async def asked(store: Any, name: str = "a") -> Any:
    found = an_approval(id=name, binding=name)
    assert await store.approvals.ask(found, "s", 50) is not None
    return found


async def test_a_change_and_what_is_told_of_it_are_one(open_store: Any) -> None:
    async with open_store() as store:
        first = await asked(store)
        approved = life.vote(first, yes("ann"))
        assert await store.approvals.replace(first, approved)
        # Who came too late changed nothing, and tells nothing.
        assert not await store.approvals.replace(first, life.cancel(first, "me", NOW))
        assert await store.approvals.ask(first, "s", 50) is not None
    async with open_store() as store:
        found = [letter.event for _, letter in await store.letters.page("waiting", None, 10)]
        assert found == ["approval.approved", "approval.asked"]


async def test_one_sender_has_a_letter_until_its_claim_ends(open_store: Any) -> None:
    async with open_store() as one, open_store() as other:
        for name in ("a", "b", "c"):
            await asked(one, name)
        stores = [one, other] * 4
        claims = await asyncio.gather(*(store.letters.claim("pager", NOW, LATER) for store in stores))
        taken = [each.id for each in claims if each is not None]
        assert len(taken) == len(set(taken)) == 3
        assert await one.letters.targets(NOW) == ()
        # The sender was killed.
        assert await other.letters.targets(LATER) == ("pager",)
        second = await other.letters.claim("pager", LATER, LATER + 1)
        assert (second.id in taken, second.attempts) == (True, 2)
        # The first one, slow and not dead after all, changes nothing any more.
        [before] = [each for each in claims if each is not None and each.id == second.id]
        assert not await one.letters.settle(before, after_attempt(before, LATER, 0.5, 200))
        assert await other.letters.settle(second, after_attempt(second, LATER, 0.5, 200))


async def test_oldest_first_and_pages_newest_first(open_store: Any) -> None:
    async with open_store() as store:
        names = [f"a{number}" for number in range(5)]
        for name in names:
            await asked(store, name)
        sent = []
        while (letter := await store.letters.claim("pager", NOW, LATER)) is not None:
            sent.append(letter.approval)
            await store.letters.settle(letter, after_attempt(letter, NOW, 0.5, 410))
        assert sent == names
        first = await store.letters.page("dead", None, 3)
        rest = await store.letters.page("dead", first[-1][0], 3)
        assert [letter.approval for _, letter in (*first, *rest)] == names[::-1]
        assert await store.letters.counts() == {"dead": 5}


async def test_dead_letters_are_sent_again_and_forgotten_in_the_end(open_store: Any) -> None:
    async with open_store() as store:
        await asked(store)
        letter = await store.letters.claim("pager", NOW, LATER)
        dead = after_attempt(letter, NOW, 0.5, 410)
        assert await store.letters.settle(letter, dead)
        assert await store.letters.claim("pager", LATER, LATER) is None
        assert await store.letters.settle(dead, again(dead, LATER))
        assert not await store.letters.settle(dead, again(dead, LATER))
        second = await store.letters.claim("pager", LATER, LATER + 1)
        assert (second.id, second.notice, second.attempts) == (letter.id, letter.notice, 1)
        assert await store.letters.forget(LATER * 2) == 0
        done = msgspec.structs.replace(second, standing="delivered", last_at=LATER)
        assert await store.letters.settle(second, done)
        assert await store.letters.forget(LATER) == 0
        assert await store.letters.forget(LATER + 1) == 1
        assert await store.letters.find(letter.id) is None
