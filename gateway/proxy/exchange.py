"""One HTTP exchange as the pipeline sees it, whatever HTTP library carries it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from gateway.core.errors import HopError
from gateway.core.model import Peer
from gateway.core.reasons import Reason

Listener = Literal["data", "public"]
Headers = tuple[tuple[str, str], ...]

WORKLOAD_TOKEN = "hopgate-workload-token"
"""Header of a JWT-SVID, which proves an agent that shows no certificate."""
SINGLE = frozenset(
    {
        WORKLOAD_TOKEN,
        "accept", "authorization", "content-encoding", "content-length", "content-type", "cookie", "host",
        "last-event-id", "origin", "traceparent", "transfer-encoding", "a2a-version", "hopgate-del-scope",
    }
)  # fmt: skip
"""Headers that are refused when sent twice; ``mcp-*`` are too."""


class Exchange(Struct, frozen=True):
    """A request's head, and a way to read its body once."""

    listener: Listener
    method: str
    target: str
    """The request target as sent: never decoded, never forwarded."""
    headers: Sequence[tuple[str, str]]
    """Names in lower case, in the order they came."""
    peer: Peer | None
    vouched: Callable[[], bool]
    """Whether the connection proves somebody by today's trust bundles; true where nobody has to be proven."""
    read_body: Callable[[int, float], Awaitable[bytes]]
    """``(most bytes, most seconds)`` → body; raises HopError BODY_TOO_LARGE, BODY_SLOW or CLIENT_CLOSED."""
    version: tuple[int, int] = (1, 1)
    """Of HTTP, as the request line has it."""


def _nothing() -> None:
    """Of an answer that nothing waits for."""


class Answer(Struct, frozen=True):
    """What the client is sent: whole, or piece by piece."""

    status: int
    headers: Headers
    body: bytes | AsyncIterator[bytes]
    done: Callable[[], None] = _nothing
    """To be called once it is written, or can't be."""


def check_head(exchange: Exchange, most: int) -> None:
    """Refuse a head of more than ``most`` bytes in all, and other versions than HTTP/1.0 and 1.1.

    Raises:
        HopError: HTTP_MALFORMED.
    """
    if exchange.version not in ((1, 0), (1, 1)):
        raise HopError(Reason.HTTP_MALFORMED, "neither HTTP/1.1 nor HTTP/1.0")
    size = len(exchange.method) + len(exchange.target) + sum(len(n) + len(v) + 4 for n, v in exchange.headers)
    if size > most:
        raise HopError(Reason.HTTP_MALFORMED, f"the head is larger than the limit of {most} bytes")


def single_valued(headers: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Headers by name, the ones that must be sent once checked for it; others keep their last value.

    Raises:
        HopError: HEADER_DUPLICATE, naming the header.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        if name in found and (name in SINGLE or name.startswith("mcp-")):
            raise HopError(Reason.HEADER_DUPLICATE, f"header {name} was sent more than once")
        found[name] = value
    return found
