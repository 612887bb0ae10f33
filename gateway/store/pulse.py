"""Whether the state database answers, known within a second, so that what was read before may be used again.

Where that isn't known one asks for all who wait: each asking for itself would only make a slow database slower.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.errors import StoreError
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
        self._failure: StoreError | None = None
        self._questions = 0
        self._asking = asyncio.Lock()

    @property
    def steady(self) -> bool:
        """Whether the database answered within the last second."""
        return self._clock() - self._answered <= STEADY_SECONDS

    async def confirm(self) -> None:
        """Wait until it is known that the database has answered within the last second.

        Raises:
            StoreError: it does not answer.
        """
        if self.steady:
            return
        before = self._questions
        async with self._asking:
            if self._questions == before:
                await self._ask()
            elif self._failure is not None:
                # What another was told who asked since is an answer for this one too.
                raise StoreError(self._failure.reason, self._failure.detail)

    async def beat(self) -> None:
        """Ask once; a failure ends what was known."""
        with suppress(StoreError):
            async with self._asking:
                await self._ask()

    async def _ask(self) -> None:
        # What the answer is worth is dated from before the question.
        asked = self._clock()
        self._questions += 1
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(select(bindings.c.txn).limit(1))
        except StoreError as error:
            self._answered, self._failure = float("-inf"), error
            raise
        self._answered, self._failure = asked, None

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(BEAT_SECONDS)
