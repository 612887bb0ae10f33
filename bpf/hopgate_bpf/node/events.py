"""Denials as the kernel reports them: numbered, kept for a while, and handed to whoever streams them.

One reader of the loader for all streams, since each event is read once. A stream that is slower than the events
misses the oldest, and sees it by the numbers. Decides nothing about what an event means.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from hopgate_bpf.node.loader import Loader
from hopgate_bpf.rules.refusal import Reason, RefusedError

PolicyOf = Callable[[str, int, int], str | None]
"""Class, index, generation → the policy's id."""

RESTART_SECONDS = 1.0


class EventLog:
    """The last ``kept`` events, with ``clock``'s time (Unix seconds) of their arrival; ``read``
    beside everything else, and ``opened`` for each that listens."""

    def __init__(
        self, loader: Loader, policy_of: PolicyOf, clock: Callable[[], float], kept: int, streams: int
    ) -> None:
        self._loader = loader
        self._policy_of = policy_of
        self._clock = clock
        self._lines: deque[tuple[int, bytes]] = deque(maxlen=kept)
        self._last = 0
        self._streams = streams
        self._open = 0
        self._news = asyncio.Condition()

    async def read(self) -> None:
        """Take events from the loader for ever; where it ends, it is started again."""
        while True:
            try:
                async with self._loader.events() as lines:
                    async for line in lines:
                        await self.add(line)
            except RefusedError as refused:
                await self.add(msgspec.json.encode({"event": "events_unavailable", "detail": str(refused)}))
            await asyncio.sleep(RESTART_SECONDS)

    async def add(self, line: bytes) -> None:
        """Number and keep one event."""
        async with self._news:
            self._last += 1
            self._lines.append((self._last, self._numbered(line)))
            self._news.notify_all()

    @contextmanager
    def opened(self, after: int | None) -> Iterator["EventStream"]:
        """One stream: of events from now on, or of those kept whose number is greater than ``after`` first.

        Raises:
            RefusedError: BUSY, there are as many streams as there may be.
        """
        if self._open >= self._streams:
            raise RefusedError(Reason.BUSY, f"{self._streams} streams of events are open")
        self._open += 1
        try:
            yield EventStream(self, self._last if after is None else after)
        finally:
            self._open -= 1

    async def later_than(self, number: int, seconds: float) -> list[tuple[int, bytes]]:
        """Those kept that are later; waits ``seconds`` for one. None came: empty."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: self._last > number)
        except TimeoutError:
            return []
        return [each for each in self._lines if each[0] > number]

    @property
    def last(self) -> int:
        """The number of the latest event; 0: none yet."""
        return self._last

    def _numbered(self, line: bytes) -> bytes:
        try:
            event = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            event = {"event": "unreadable"}
        match event:
            case {"class": str(name), "policy": int(index), "generation": int(generation)}:
                event["policy_id"] = self._policy_of(name, index, generation)
            case _:
                pass
        return msgspec.json.encode({"seq": self._last, "time": round(self._clock(), 3)} | event) + b"\n"


class EventStream:
    """What one listener has seen."""

    def __init__(self, log: EventLog, seen: int) -> None:
        self._log = log
        # A number of before a restart is no reason to wait for ever.
        self._seen = min(seen, log.last)

    async def more(self, seconds: float) -> list[bytes]:
        """The lines that came meanwhile, waiting ``seconds`` for one; empty: none came."""
        found = await self._log.later_than(self._seen, seconds)
        self._seen = found[-1][0] if found else self._seen
        return [line for _, line in found]
