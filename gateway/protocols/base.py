"""What every protocol adapter takes and gives: a request in, a request out, a reply, and one answer's meaning.

Decides only what all JSON-over-HTTP protocols share: media type, coding and ``Accept``. Doesn't read
tokens, choose routes, or know any method.
"""

from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct

from gateway.core.errors import HopError, ProtocolError
from gateway.core.reasons import Reason

Headers = tuple[tuple[str, str], ...]

JSON = "application/json"
SSE = "text/event-stream"
TRACE_FIELDS = ("traceparent", "tracestate", "baggage")

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class Incoming(Struct, frozen=True):
    """A client's request behind its route.

    ``rest`` is the path after the route (``""``, ``/.well-known/agent-card.json``). Header names are in
    lower case; the server has refused duplicates of those that matter.
    """

    http_method: str
    rest: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


class Outgoing(Struct, frozen=True):
    """A request to the upstream, built only from the Call: no header of the client is copied.

    ``headers`` holds everything but ``Authorization``, ``Accept-Encoding`` and what HTTP itself needs.
    """

    http_method: str
    rest: str
    headers: Headers
    body: bytes


class Reply(Struct, frozen=True):
    """What the client is sent, whole."""

    status: int
    headers: Headers
    body: bytes


class Pass(Struct, frozen=True):
    """A message on the way to the end of the answer; sent on as it is."""

    value: Any


class Listing(Struct, frozen=True):
    """A list to be filtered item by item, and the end of the answer. ``items`` are ids in the list's order.

    ``kind`` is the Cedar type of the items; empty where they are no entities.
    """

    value: Any
    items: tuple[str, ...]
    kind: str = ""


class About(Struct, frozen=True):
    """A message about one thing of the upstream: for those who may use it. ``kind`` is the thing's Cedar type."""

    value: Any
    kind: str
    item: str


class Inbound(Struct, frozen=True):
    """A request of the upstream to the client: a hop of its own, whose principal is the upstream.

    ``action`` is its Cedar action; "" for a request that is never passed on.
    """

    request_id: str | int
    method: str
    value: Any
    action: str = ""


class Asks(Struct, frozen=True):
    """The end of the answer: what the upstream needs before it does what was called. ``state`` goes back to it."""

    value: Any
    requests: tuple[Inbound, ...]
    state: str | None


class OfTask(Struct, frozen=True):
    """A message about one task: for its owner. ``last`` where it is the answer, with ``detail`` as in ``End``.

    ``requests`` are what the task asks of its owner before it goes on.
    """

    value: Any
    task: str
    requests: tuple[Inbound, ...] = ()
    last: bool = False
    detail: str = ""


class End(Struct, frozen=True):
    """The answer. ``ok`` is the protocol's own success; ``detail`` says how it ended otherwise."""

    value: Any
    ok: bool
    detail: str = ""


Classified = Pass | About | Listing | Inbound | Asks | OfTask | End


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a hop ends here. ``code``, ``data`` and ``status`` override what the reason alone would give."""

    reason: Reason
    detail: str = ""
    decision_id: str | None = None
    groups: tuple[str, ...] = ()
    """Who may approve, for APPROVAL_REQUIRED."""
    scopes: tuple[str, ...] = ()
    """What to request, for INSUFFICIENT_SCOPE."""
    code: int | None = None
    data: Mapping[str, object] | None = None
    status: int | None = None
    headers: Headers = ()
    """``WWW-Authenticate``, ``Retry-After``, ``Allow``."""


class HttpError(ProtocolError):
    """A ProtocolError whose HTTP status is not its reason's own, or that needs an ``Allow`` header."""

    def __init__(
        self, reason: Reason, detail: str, *, status: int, code: int = INVALID_REQUEST, allow: str = ""
    ) -> None:
        super().__init__(reason, detail, code=code)
        self.status = status
        self.allow = allow


def refusal_of(error: HopError, decision_id: str | None = None) -> Refusal:
    """The refusal that answers an error."""
    code = error.code if isinstance(error, ProtocolError) else None
    data = error.data if isinstance(error, ProtocolError) else None
    status = error.status if isinstance(error, HttpError) else None
    allow = (("Allow", error.allow),) if isinstance(error, HttpError) and error.allow else ()
    return Refusal(
        reason=error.reason,
        detail=error.detail,
        decision_id=decision_id,
        code=code,
        data=data,
        status=status,
        headers=allow,
    )


def check_media(headers: Mapping[str, str], kinds: Collection[str] = (JSON,)) -> None:
    """Refuse a body that isn't declared as plain, uncompressed UTF-8 JSON of one of the media types ``kinds``.

    Raises:
        ProtocolError: CONTENT_TYPE.
    """
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _media_error("the body is compressed; send it without Content-Encoding")
    kind, *parameters = (part.strip().lower() for part in headers.get("content-type", "").split(";"))
    if kind not in kinds:
        raise _media_error(f"Content-Type is not {' or '.join(kinds)}")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') != "utf-8":
            raise _media_error("the charset is not UTF-8")


def accepts(headers: Mapping[str, str], *kinds: str) -> bool:
    """Whether ``Accept`` names every one of ``kinds``, exactly or by wildcard (RFC 9110 §12.5.1; weights ignored)."""
    ranges = {part.split(";")[0].strip().lower() for part in headers.get("accept", "").split(",")}
    return all({kind, kind.split("/")[0] + "/*", "*/*"} & ranges for kind in kinds)


def trace_headers(trace: Mapping[str, str]) -> Headers:
    """The W3C trace context as HTTP headers, in a fixed order, and nothing else that ``trace`` may hold."""
    return tuple((name, trace[name]) for name in TRACE_FIELDS if name in trace)


def _media_error(detail: str) -> ProtocolError:
    return ProtocolError(Reason.CONTENT_TYPE, detail, code=INVALID_REQUEST)
