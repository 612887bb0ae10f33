"""One admin request as the API sees it, whatever carries it; and reading it, strictly, once.

Unknown members, repeated keys, fields and headers are errors that name their place.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from gateway.core.audit import AdminCaller
from gateway.core.errors import HopError
from gateway.core.limits import Limits
from gateway.core.model import Peer, User
from gateway.core.reasons import Reason
from gateway.protocols.base import JSON
from gateway.protocols.jsonrpc import parse_json

Via = Literal["tls", "socket"]
T = TypeVar("T")

SINGLE = frozenset(
    {
        "accept", "authorization", "content-encoding", "content-length", "content-type", "host", "idempotency-key",
        "if-match", "origin", "transfer-encoding",
    }
)  # fmt: skip
"""Headers that are refused when sent twice."""
_AT = " - at `"
"""Stands before the place in messages of the library; without a place it is the value itself."""
DETAIL_CHARS = 300


class SocketPeer(Struct, frozen=True):
    """The process at the other end of the Unix socket, as the kernel vouches for it."""

    uid: int
    process: int
    name: str


class AdminRequest(Struct, frozen=True):
    """A request's head, and a way to read its body once."""

    via: Via
    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    """Names in lower case."""
    peer: Peer | None
    """The SVID that was shown, if one was."""
    socket: SocketPeer | None
    read_body: Callable[[int, float], Awaitable[bytes]]
    """``(most bytes, most seconds)`` → body; raises HopError."""
    vouched: tuple[AdminCaller, User] | None = None
    """Whose word it is, where a verified integration said so; never read from the request."""


class AdminAnswer(Struct, frozen=True):
    """What the client is sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class PlaceError(HopError):
    """A value that can't be used; ``place`` is where it stands, as a JSON path."""

    def __init__(self, detail: str, place: str) -> None:
        super().__init__(Reason.MESSAGE_INVALID, detail)
        self.place = place


def headers_of(request: AdminRequest) -> Mapping[str, str]:
    """The headers by name.

    Raises:
        HopError: HEADER_DUPLICATE.
    """
    found: dict[str, str] = {}
    for name, value in request.headers:
        if name in found and name in SINGLE:
            raise HopError(Reason.HEADER_DUPLICATE, f"header {name} was sent more than once")
        found[name] = value
    return found


async def read_json(request: AdminRequest, headers: Mapping[str, str], most: int, limits: Limits) -> Any:
    """The body's one JSON value.

    Raises:
        HopError: CONTENT_TYPE, BODY_MALFORMED, BODY_TOO_LARGE, BODY_SLOW.
    """
    if headers.get("content-type", "").partition(";")[0].strip().lower() != JSON or "content-encoding" in headers:
        raise HopError(Reason.CONTENT_TYPE, f"the body is to be {JSON}, uncompressed")
    return parse_json(await request.read_body(most, limits.body_seconds), limits)


def convert(value: Any, kind: type[T], place: str, *, strict: bool = True) -> T:
    """``value`` as ``kind``; ``place`` is what ``$`` stands for. Not strict: every value is text, as in a query.

    Raises:
        PlaceError: it doesn't fit, or has members that ``kind`` doesn't.
    """
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        text, at, where = str(error).rpartition(_AT)
        if not at or not where.startswith("$") or not where.endswith("`"):
            text, where = str(error), "$`"
        raise PlaceError(text[:DETAIL_CHARS], place + where[1:-1]) from None
