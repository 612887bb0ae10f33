"""What a process knows to be revoked: for a second after it asked, and then nothing passes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.core.errors import HopError, StoreError
from gateway.core.reasons import Reason
from gateway.core.revocation import AgentTarget, Revocation, TokenTarget
from gateway.proxy import revoked
from gateway.proxy.revoked import AGAIN_SECONDS, CURRENT_SECONDS, Revoked

ANALYST = (("agent", "", "analyst"),)


@dataclass
class Store:
    """A store that counts how often it is asked, fails, or hangs."""

    clock: Callable[[], float]
    made: list[Revocation] = field(default_factory=list)
    failing: bool = False
    hanging: bool = False
    asked: int = 0
    slow: list[float] = field(default_factory=list)
    """How long answers take from now on, the last one first."""

    async def epoch(self) -> tuple[int, float]:
        self.asked += 1
        at = self.clock()
        if self.slow:
            self.clock.now += self.slow.pop()  # type: ignore[attr-defined]
        if self.hanging:
            await asyncio.Event().wait()
        if self.failing:
            raise StoreError(Reason.STORE_UNAVAILABLE, "the disk is gone")
        return len(self.made), at

    async def in_force(self, now: int) -> tuple[int, tuple[Revocation, ...]]:
        return len(self.made), tuple(each for each in self.made if each.holds(now))


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now


@pytest.fixture
def store(clock: "Clock") -> Store:
    return Store(clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def known(store: Any, clock: Clock) -> Revoked:
    found = Revoked(store, clock, clock)
    await found.refresh()
    return found


async def reason_of(known: Revoked, keys: Any = ANALYST) -> Reason | None:
    try:
        await known.check(keys)
    except HopError as error:
        return error.reason
    return None


async def test_nothing_passes_before_the_store_was_asked(store: Any, clock: Clock) -> None:
    store.failing = True
    assert await reason_of(Revoked(store, clock, clock)) is Reason.REVOCATIONS_UNKNOWN


async def test_knowledge_serves_for_a_second(known: Revoked, store: Store, clock: Clock) -> None:
    store.failing = True
    clock.now += CURRENT_SECONDS - 0.01
    assert await reason_of(known) is None
    clock.now += 0.02
    assert await reason_of(known) is Reason.REVOCATIONS_UNKNOWN


async def test_a_pause_of_the_process_costs_one_question(known: Revoked, store: Store, clock: Clock) -> None:
    clock.now += 60
    before = store.asked
    assert await asyncio.gather(*(reason_of(known) for _ in range(50))) == [None] * 50
    assert store.asked <= before + 2


async def test_an_answer_that_took_too_long_is_asked_for_again(known: Revoked, store: Store, clock: Clock) -> None:
    clock.now += 2
    store.slow = [0.8, 0.8, 1.5]
    assert await reason_of(known) is None
    assert store.slow == [0.8]


async def test_what_was_revoked_is_refused_until_it_expires(known: Revoked, store: Store, clock: Clock) -> None:
    expires = int(clock.now) + 1
    store.made.append(Revocation(id="r", target=AgentTarget("analyst"), reason="", by="", at=0, expires=expires))
    await known.refresh()
    assert await reason_of(known) is Reason.REVOKED
    assert await reason_of(known, (("agent", "", "planner"),)) is None
    clock.now = expires
    assert await reason_of(known) is None


async def test_a_revoked_token_is_told_to_be_replaced(known: Revoked, store: Store) -> None:
    store.made.append(Revocation(id="r", target=TokenTarget("jti"), reason="", by="", at=0))
    await known.refresh()
    assert await reason_of(known, (("token", "", "jti"),)) is Reason.TOKEN_REVOKED


async def test_a_store_that_fails_is_not_asked_by_every_request(known: Revoked, store: Store, clock: Clock) -> None:
    clock.now += 2
    store.failing = True
    before = store.asked
    for _ in range(20):
        with pytest.raises(HopError, match="revocations_unknown: the disk is gone"):
            await known.check(ANALYST)
    assert store.asked == before + 1
    store.failing = False
    clock.now += AGAIN_SECONDS
    assert await reason_of(known) is None


async def test_a_store_that_does_not_answer_is_not_waited_for(
    known: Revoked, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoked, "ASK_SECONDS", 0.01)
    store.hanging = True
    clock.now += 2
    with pytest.raises(HopError, match="did not answer within"):
        await known.check(ANALYST)
