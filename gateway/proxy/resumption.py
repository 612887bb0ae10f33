"""Event ids by which a session's client resumes a stream: sealed, and good for its owner, route and session alone.

An id names the upstream's own event and the call that the stream answers, so that resuming it is decided anew, on
what was called. Nothing is stored. Doesn't replay: what the stream still owed is the upstream's to know.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, structs

from gateway.core.errors import HopError
from gateway.core.model import Call, Uid
from gateway.core.ports import Sealer
from gateway.core.reasons import Reason
from gateway.proxy.rounds import Place

UPSTREAM_ID_CHARS = 256
"""Longer ids of an upstream's are not offered to the client."""


class Seen(Struct, frozen=True):
    """An event of a stream: the upstream's own id, the call that the stream answers, and Unix seconds of its end."""

    upstream: str
    method: str
    action: str
    resource: Uid
    request_id: str | int | None
    target: str
    arguments: Mapping[str, Any] | None
    also: tuple[tuple[str, Uid], ...]
    expires: int


def seal_event(sealer: Sealer, upstream: str, place: Place, call: Call, expires: int, most_bytes: int) -> str | None:
    """The event's id for the client, at most ``most_bytes`` long since it comes back in a header.

    None for a call that is too large to be carried in one, and for an id that no header can carry to the upstream:
    the stream ends for good then.
    """
    if not (len(upstream) <= UPSTREAM_ID_CHARS and upstream.isascii() and upstream.isprintable()):
        return None
    if not upstream or upstream != upstream.strip():
        return None
    seen = Seen(
        upstream=upstream,
        method=call.method,
        action=call.action,
        resource=call.resource,
        request_id=call.request_id,
        target=call.target,
        arguments=call.arguments,
        also=call.also,
        expires=expires,
    )
    plain = msgspec.json.encode(seen)
    if len(plain) > most_bytes:
        return None
    sealed = sealer.seal(plain, _context(place))
    return sealed if len(sealed) <= most_bytes else None


def resumed(sealer: Sealer, place: Place, call: Call, now: int) -> Call:
    """The call that the resumed stream answers, as it was made: so it is decided again, with its arguments.

    A ``call`` that resumes nothing is returned as it is.

    Raises:
        HopError: SESSION_UNKNOWN for an event that is forged or expired, another caller's, another route's, or of
            another session.
    """
    if call.resuming is None:
        return call
    plain = sealer.open(call.resuming, _context(place))
    seen = None if plain is None else msgspec.json.decode(plain, type=Seen)
    if seen is None or now >= seen.expires:
        raise HopError(Reason.SESSION_UNKNOWN, "Last-Event-ID is not an event of this session")
    return structs.replace(
        call,
        method=seen.method,
        action=seen.action,
        resource=seen.resource,
        request_id=seen.request_id,
        target=seen.target,
        arguments=seen.arguments,
        also=seen.also,
        resuming=seen.upstream,
    )


def _context(place: Place) -> bytes:
    return msgspec.json.encode(["event", place.route.path, place.whose, place.session])
