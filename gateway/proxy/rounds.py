"""What goes out to a client and comes back with its next call: request states, and ids of a server's requests.

Sealed, so that only who got one can bring it back, for the same call or in the same session. Nothing is stored.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, structs

from gateway.core.audit import digest
from gateway.core.errors import ProtocolError
from gateway.core.model import Call, Route
from gateway.core.ports import Sealer
from gateway.core.reasons import Reason
from gateway.protocols.base import INVALID_PARAMS, INVALID_REQUEST


class State(Struct, frozen=True):
    """The upstream's own state, and Unix seconds of its end."""

    upstream: str
    expires: int


class Asked(Struct, frozen=True):
    """A request of the server: its own id, the method and its action, and Unix seconds of its end."""

    upstream: str | int
    method: str
    action: str
    expires: int


class Place(Struct, frozen=True):
    """Where something was handed out: it comes back here or nowhere."""

    route: Route
    whose: str
    session: str | None
    """The upstream's own session id."""


def seal_state(sealer: Sealer, state: State, place: Place, call: Call) -> str:
    """The ``requestState`` that the client is given."""
    return sealer.seal(msgspec.json.encode(state), _state_context(place, call))


def seal_request(sealer: Sealer, asked: Asked, place: Place) -> str:
    """The id by which the client is asked."""
    return sealer.seal(msgspec.json.encode(asked), _request_context(place))


def reopened(sealer: Sealer, place: Place, call: Call, now: int) -> Call:
    """The call with what the upstream itself handed out in place of what the client was given.

    Raises:
        ProtocolError: MESSAGE_INVALID for what is forged or expired, another caller's, another call's, or of
            another session.
    """
    if call.state is not None:
        plain = sealer.open(call.state, _state_context(place, call))
        state = None if plain is None else msgspec.json.decode(plain, type=State)
        if state is None or now >= state.expires:
            raise _unknown("requestState is not one of this caller for this call", INVALID_PARAMS, call)
        return structs.replace(call, message=_with_state(call.message, state.upstream))
    if call.answering is not None:
        plain = sealer.open(call.answering, _request_context(place))
        asked = None if plain is None else msgspec.json.decode(plain, type=Asked)
        if asked is None or now >= asked.expires:
            raise _unknown("the response is not to a request of this session", INVALID_REQUEST, call)
        message = {**call.message, "id": asked.upstream}
        return structs.replace(call, message=message, target=asked.method, asked=asked.action)
    return call


def with_state(value: Mapping[str, Any], state: str) -> Mapping[str, Any]:
    """An ``input_required`` answer with another state."""
    return {**value, "result": {**value["result"], "requestState": state}}


def _with_state(message: Mapping[str, Any], state: str) -> Mapping[str, Any]:
    return {**message, "params": {**message["params"], "requestState": state}}


def _state_context(place: Place, call: Call) -> bytes:
    arguments = digest(call.arguments)
    return msgspec.json.encode(["state", place.route.path, place.whose, call.method, call.target, arguments.value])


def _request_context(place: Place) -> bytes:
    return msgspec.json.encode(["request", place.route.path, place.whose, place.session])


def _unknown(detail: str, code: int, call: Call) -> ProtocolError:
    return ProtocolError(Reason.MESSAGE_INVALID, detail, code=code, request_id=call.request_id)
