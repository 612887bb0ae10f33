"""A question to the database that many want answered at once: one asks, the others are told.

Each asking for itself would only make a slow database slower. Doesn't keep answers for those who come later.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gateway.core.errors import StoreError

T = TypeVar("T")


class SharedQuestion(Generic[T]):
    """One question; who is told never waits for more than one that is asked already and one that is asked for them."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._told: list[T | StoreError] = []
        """The last answer, replaced by each; empty before the first."""

    async def answer(self) -> T:
        """The answer, given after this was called.

        Raises:
            StoreError: the database did not answer.
        """
        before = self._told
        async with self._lock:
            # Nobody was told anything if whoever asked has left.
            if self._told is before:
                self._told = [await self._asked()]
        (told,) = self._told
        if isinstance(told, StoreError):
            raise StoreError(told.reason, told.detail)
        return told

    async def _asked(self) -> T | StoreError:
        try:
            return await self._ask()
        except StoreError as error:
            return error
