"""Whether the state database answers, known within a second, so that what was read before may be used again.

Doesn't refuse anything itself: whoever finds no pulse waits for an answer, and fails with it.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.errors import StoreError
from gateway.store.shared_question import SharedQuestion
from gateway.store.state import transaction
from gateway.store.tables import bindings

BEAT_SECONDS = 0.4
STEADY_SECONDS = 1.0
"""How old the last answer may be."""


class Pulse:
    """Asks the database again and again while ``run`` runs; without it, it is never steady.

    ``clock`` gives seconds that only grow.
    """

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._answered = float("-inf")
        self._question = SharedQuestion(self._ask)

    @property
    def steady(self) -> bool:
        """Whether the database answered within the last second."""
        return self._clock() - self._answered <= STEADY_SECONDS

    async def confirm(self) -> None:
        """Wait until it is known that the database has answered within the last second.

        Raises:
            StoreError: it does not answer.
        """
        if not self.steady:
            await self._question.answer()

    async def beat(self) -> None:
        """Ask once; a failure ends what was known."""
        with suppress(StoreError):
            await self._question.answer()

    async def _ask(self) -> None:
        # What the answer is worth is dated from before the question.
        asked = self._clock()
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(select(bindings.c.txn).limit(1))
        except StoreError:
            self._answered = float("-inf")
            raise
        self._answered = asked

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(BEAT_SECONDS)
