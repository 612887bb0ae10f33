"""The pulse is steady while the database answers, and for a second at most after it stopped."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import event

from gateway.core.errors import StoreError
from gateway.core.ports import Binding
from gateway.store.bindings import SqlBindings
from gateway.store.pulse import STEADY_SECONDS, Pulse
from gateway.store.state import open_state

NOW = 1_800_000_000
FIRST = Binding("agent:planner", "t1", NOW + 900, NOW + 900)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_it_is_steady_for_a_second_after_each_answer(tmp_path: Path) -> None:
    engine, clock = await open_state(f"sqlite:///{tmp_path}/hopgate.db"), Clock()
    pulse = Pulse(engine, clock)
    try:
        assert not pulse.steady
        for began in (0.0, 10.0):
            clock.now = began
            await pulse.beat()
            assert pulse.steady
            clock.now += STEADY_SECONDS
            assert pulse.steady
            clock.now += 0.01
            assert not pulse.steady
    finally:
        await engine.dispose()


async def test_of_many_that_wait_one_asks(tmp_path: Path) -> None:
    engine, asked = await open_state(f"sqlite:///{tmp_path}/hopgate.db"), []
    event.listen(engine.sync_engine, "begin", lambda connection: asked.append(1))
    pulse = Pulse(engine, Clock())
    try:
        await asyncio.gather(*(pulse.confirm() for _ in range(40)))
        assert len(asked) == 1
        await pulse.confirm()
        assert len(asked) == 1
    finally:
        await engine.dispose()


async def test_many_that_wait_for_a_store_that_does_not_answer_wait_once(tmp_path: Path) -> None:
    path, asked = tmp_path / "hopgate.db", []
    engine = await open_state(f"sqlite:///{path}", busy_seconds=0.05)
    event.listen(engine.sync_engine, "begin", lambda connection: asked.append(1))
    pulse, other = Pulse(engine, Clock()), sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        told = await asyncio.gather(*(pulse.confirm() for _ in range(40)), return_exceptions=True)
        assert [type(each) for each in told] == [StoreError] * 40
        assert len(asked) <= 1
    finally:
        other.close()
        await engine.dispose()


async def test_a_binding_seen_before_is_refused_once_the_store_is_gone(tmp_path: Path) -> None:
    path, clock = tmp_path / "hopgate.db", Clock()
    engine = await open_state(f"sqlite:///{path}", busy_seconds=0.05)
    pulse = Pulse(engine, clock)
    store, other = SqlBindings(engine, pulse), sqlite3.connect(path, isolation_level=None)
    try:
        await pulse.beat()
        assert await store.bind("d", FIRST, NOW) == FIRST
        other.execute("BEGIN IMMEDIATE")
        assert await store.bind("d", FIRST, NOW) == FIRST, "the last answer is younger than a second"
        await pulse.beat()
        with pytest.raises(StoreError):
            await store.bind("d", FIRST, NOW)
        other.execute("ROLLBACK")
        assert await store.bind("d", FIRST, NOW) == FIRST, "the store is asked again"
        await pulse.beat()
        assert pulse.steady
    finally:
        other.close()
        await engine.dispose()
