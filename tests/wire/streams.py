"""Event streams of a session as bare HTTP shows them: every frame, its id, and how the stream ends."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from gateway.protocols.sse import Event, SseParser
from tests.wire.mcp_calls import Wire, headers_of

Session = Mapping[str, str | None]


class Stream:
    """An open stream; ``response`` is its head."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._frames = self._read()
        self.seen: list[Event] = []

    async def event(self) -> Event | None:
        """The next event, comments left out; None at the end of the stream."""
        frame = await anext(self._frames, None)
        if frame is not None:
            self.seen.append(frame)
        return frame

    async def message(self) -> Any:
        """The next message; None at the end of the stream."""
        while (event := await self.event()) is not None:
            if event.data:
                return json.loads(event.data)
        return None

    async def rest(self) -> list[Any]:
        """All messages to the end."""
        found = []
        while (message := await self.message()) is not None:
            found.append(message)
        return found

    @property
    def last_id(self) -> str:
        """The last event id that came."""
        return [event.id for event in self.seen if event.id][-1]

    async def _read(self) -> AsyncIterator[Event]:
        parser = SseParser(1 << 20)
        async for piece in self.response.aiter_bytes():
            for frame in parser.feed(piece):
                if isinstance(frame, Event):
                    yield frame


@asynccontextmanager
async def standing(wire: Wire, session: Session, last: str | None = None) -> AsyncIterator[Stream]:
    """The session's standing stream, or the one that ``last`` is an event of."""
    headers = {name: str(value) for name, value in session.items()} | {"Accept": "text/event-stream"}
    headers |= {} if last is None else {"Last-Event-ID": last}
    async with wire.http.stream("GET", wire.url, headers=headers) as response:
        yield Stream(response)


@asynccontextmanager
async def asking(wire: Wire, session: Session, message: Any) -> AsyncIterator[Stream]:
    """The stream that answers ``message``."""
    headers = {**headers_of(message), **{name: str(value) for name, value in session.items()}}
    async with wire.http.stream("POST", wire.url, json=message, headers=headers) as response:
        yield Stream(response)
