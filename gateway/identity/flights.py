"""Work that many wait for is done once. Whoever began it may leave: it goes on, since a token may hang on its end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from gateway.core.errors import HopError

T = TypeVar("T")
_FAILURES = (HopError, ValueError, TypeError, LookupError, RuntimeError, OSError)
"""Told to who waits. Anything else ends the process: nobody may be left who would hear of it."""


class Flights(Generic[T]):
    """What is under way, by key. ``tasks`` owns the work and waits for it at the end."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._running: dict[Hashable, asyncio.Task[T | Exception]] = {}

    async def join(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the work under ``key``, begun if none is under way; raises what it raised."""
        running = self._running.get(key)
        if running is None:
            running = self._tasks.create_task(_carried(work()))
            self._running[key] = running
            running.add_done_callback(lambda _: self._running.pop(key, None))
        outcome = await asyncio.shield(running)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@asynccontextmanager
async def owning() -> AsyncIterator[asyncio.TaskGroup]:
    """A group whose tasks end by themselves: it waits for them, and wraps nothing that the block raises."""
    group = asyncio.TaskGroup()
    await group.__aenter__()
    try:
        yield group
    finally:
        await group.__aexit__(None, None, None)


async def _carried(work: Coroutine[Any, Any, T]) -> T | Exception:
    try:
        return await work
    except _FAILURES as error:
        return error
