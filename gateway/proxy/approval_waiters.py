"""Calls that are held until people decide: woken at once by a decision of this process, and soon by another's."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

POLL_SECONDS = 1.0
"""After which a held call looks for itself."""


class Waiters:
    """The held calls of one process, by approval, and how many each caller has."""

    def __init__(self) -> None:
        self._events: dict[str, set[asyncio.Event]] = {}
        self._held: Counter[str] = Counter()

    @contextmanager
    def holding(self, whose: str, most: int) -> Iterator[bool]:
        """Whether one more call of the caller may be held, as one of at most ``most``; it counts within the block."""
        if self._held[whose] >= most:
            yield False
            return
        self._held[whose] += 1
        try:
            yield True
        finally:
            self._held[whose] -= 1
            if not self._held[whose]:
                del self._held[whose]

    def wake(self, approval: str) -> None:
        """Something was decided of it."""
        for event in self._events.get(approval, ()):
            event.set()

    async def pause(self, approval: str, most_seconds: float) -> None:
        """Return when it is woken, or after ``POLL_SECONDS``, or after ``most_seconds``."""
        event = asyncio.Event()
        self._events.setdefault(approval, set()).add(event)
        try:
            async with asyncio.timeout(min(POLL_SECONDS, most_seconds)):
                await event.wait()
        except TimeoutError:
            return
        finally:
            self._events[approval].discard(event)
            if not self._events[approval]:
                del self._events[approval]
