"""Server-Sent Events, incrementally (WHATWG HTML §9.2): bytes in, events and comments out, and back.

Stricter than a browser: text that isn't UTF-8, and an event beyond the size limit, are errors. Written events
can't be mistaken for others, also not by clients that break lines at more characters than the standard does.
Doesn't read the data: that is ``jsonrpc.parse_answer``'s.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from gateway.core.errors import UpstreamError
from gateway.core.reasons import Reason
from gateway.protocols.jsonrpc import dump_json

BREAKS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
"""Every character at which some client's line reader breaks."""
BOM = b"\xef\xbb\xbf"
MOST_RETRY_DIGITS = 9


class Event(Struct, frozen=True):
    """One event. ``data`` is empty for a priming event, which only carries ``id`` or ``retry`` (milliseconds)."""

    data: str
    name: str = "message"
    id: str | None = None
    retry: int | None = None


class Comment(Struct, frozen=True):
    """A comment line: the upstream keeps the connection alive."""

    text: str


Frame = Event | Comment


class SseParser:
    """Frames of one stream. ``feed`` chunks as they come; how they are cut makes no difference."""

    def __init__(self, event_bytes: int) -> None:
        self._limit = event_bytes
        self._line = bytearray()
        self._fields: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._after_cr = False
        self._first = True

    @property
    def pending(self) -> bool:
        """Whether the stream stands within an event: ending here loses it."""
        return bool(self._fields or self._line)

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that ``chunk`` completes, in order.

        Raises:
            UpstreamError: UPSTREAM_TOO_LARGE for an event beyond the limit, UPSTREAM_MALFORMED for bad UTF-8.
        """
        if not chunk:
            return
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        for line in chunk.splitlines(keepends=True):
            content = line.rstrip(b"\r\n")
            self._extend(content)
            if content != line:
                yield from self._end_line()

    def _extend(self, piece: bytes) -> None:
        self._line += piece
        self._size += len(piece)
        if self._size > self._limit:
            raise UpstreamError(Reason.UPSTREAM_TOO_LARGE, f"an event is larger than the limit of {self._limit} bytes")

    def _end_line(self) -> Iterator[Frame]:
        line = bytes(self._line)
        self._line.clear()
        if self._first:
            self._first = False
            line = line.removeprefix(BOM)
        if not line:
            yield from self._dispatch()
        elif line.startswith(b":"):
            self._size -= len(line)
            yield Comment(_text(line[1:].removeprefix(b" ")))
        else:
            name, _, value = line.partition(b":")
            self._fields.append((name, value.removeprefix(b" ")))

    def _dispatch(self) -> Iterator[Event]:
        fields, self._fields, self._size = self._fields, [], 0
        data: list[str] = []
        name, event_id, retry = "", None, None
        for key, value in fields:
            if key == b"data":
                data.append(_text(value))
            elif key == b"event":
                name = _text(value)
            elif key == b"id" and b"\0" not in value:
                event_id = _text(value)
            elif key == b"retry" and value.isdigit() and len(value) <= MOST_RETRY_DIGITS:
                retry = int(value)
        if data or event_id is not None or retry is not None:
            yield Event("\n".join(data), name or "message", event_id, retry)


def encode_message(
    value: Any, name: str = "message", *, event_id: str | None = None, retry: int | None = None
) -> bytes:
    """One JSON message as an event, with an id only where its stream can be resumed."""
    return _head(name, event_id, retry) + b"data: " + dump_json(value) + b"\n\n"


def encode_event(event: Event) -> bytes:
    """An event of which no part can become another field.

    Raises:
        ValueError: the data, the name or the id has a character that some client takes for the end of a line.
            ``\\n`` in the data is fine, and sent as several ``data`` lines.
    """
    data = "".join(f"data: {_one_line(line)}\n" for line in event.data.split("\n"))
    return _head(event.name, event.id, event.retry) + data.encode() + b"\n"


def encode_comment(text: str = "") -> bytes:
    """A comment.

    Raises:
        ValueError: the text has a character that some client takes for the end of a line.
    """
    return f": {_one_line(text)}\n\n".encode()


def _head(name: str, event_id: str | None, retry: int | None) -> bytes:
    found = "" if name == "message" else f"event: {_one_line(name)}\n"
    if event_id is not None:
        if "\0" in event_id:
            raise ValueError("an event id with NUL")
        found += f"id: {_one_line(event_id)}\n"
    return (found if retry is None else f"{found}retry: {retry:d}\n").encode()


def _one_line(text: str) -> str:
    if not BREAKS.isdisjoint(text):
        raise ValueError("a line break within a field")
    return text


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UpstreamError(Reason.UPSTREAM_MALFORMED, "an event that is not UTF-8") from None
