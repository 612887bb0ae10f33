"""The HTTP+JSON binding of A2A 1.0 (§11): a path, a query and a body as the JSON-RPC request that means the same.

Upstreams are always asked by JSON-RPC, so there is one form of a call to authorize. Doesn't read the version, and
doesn't check what the parameters hold.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.reasons import Reason
from gateway.protocols.a2a.methods import CARD_PATH
from gateway.protocols.a2a.shapes import PARAMS, QUERY, normal
from gateway.protocols.base import INVALID_PARAMS, INVALID_REQUEST, JSON, HttpError, Incoming, check_media
from gateway.protocols.jsonrpc import Request, parse_json
from gateway.protocols.members import AmbiguousMemberError

A2A_JSON = "application/a2a+json"
MEDIA = (JSON, A2A_JSON)
REQUEST_ID = 1
"""Each request has a connection's answer to itself; the id that JSON-RPC asks for tells nothing apart."""
BODY_NEEDED = frozenset({"SendMessage", "SendStreamingMessage", "CreateTaskPushNotificationConfig"})


class Endpoint(Struct, frozen=True):
    """A path: the method of each HTTP method, and the parameters that the path holds."""

    methods: Mapping[str, str]
    values: Mapping[str, str] = {}


def is_http_json(rest: str) -> bool:
    """Whether a path below the route is of this binding, known or not."""
    return rest not in ("", CARD_PATH)


def method_of(incoming: Incoming) -> str:
    """The method that HTTP method and path mean.

    Raises:
        ProtocolError: ROUTE_UNKNOWN, or HTTP_METHOD with the methods that the path has.
    """
    methods = _endpoint(incoming.rest).methods
    if incoming.http_method not in methods:
        allow = ", ".join(methods)
        raise HttpError(Reason.HTTP_METHOD, f"the path takes {allow}", status=405, allow=allow)
    return methods[incoming.http_method]


def read_http(incoming: Incoming, limits: Limits) -> Request:
    """The request that the message would be by JSON-RPC.

    Raises:
        ProtocolError: the path, the query or the body isn't the binding's, or two of them name different things.
    """
    method = method_of(incoming)
    values = _endpoint(incoming.rest).values
    try:
        given = _query(incoming.query) if incoming.http_method == "GET" else _body(incoming, method, limits)
    except AmbiguousMemberError as error:
        raise _invalid(f"the request has {error}") from None
    for name, value in values.items():
        if given.get(name, value) != value:
            raise _invalid(f"{name} differs between path and {'query' if incoming.http_method == 'GET' else 'body'}")
    params = {**given, **values}
    message = {"jsonrpc": "2.0", "id": REQUEST_ID, "method": method, "params": params}
    return Request(REQUEST_ID, method, params, message)


def _endpoint(rest: str) -> Endpoint:
    segments = rest.split("/")[1:]
    found = _plain(segments)
    if found is None and len(segments) > 1:
        below = _plain(segments[1:])
        found = None if below is None else Endpoint(below.methods, {**below.values, "tenant": segments[0]})
    if found is None:
        raise ProtocolError(Reason.ROUTE_UNKNOWN, "not a path of A2A", code=INVALID_REQUEST)
    return found


def _plain(segments: list[str]) -> Endpoint | None:
    """The endpoint of a path without tenant."""
    match segments:
        case ["message:send"]:
            return Endpoint({"POST": "SendMessage"})
        case ["message:stream"]:
            return Endpoint({"POST": "SendStreamingMessage"})
        case ["extendedAgentCard"]:
            return Endpoint({"GET": "GetExtendedAgentCard"})
        case ["tasks"]:
            return Endpoint({"GET": "ListTasks"})
        case ["tasks", task] if task.endswith(":cancel"):
            return Endpoint({"POST": "CancelTask"}, {"id": task.removesuffix(":cancel")})
        case ["tasks", task] if task.endswith(":subscribe"):
            # The specification's text and its protobuf differ in the HTTP method.
            both = {"POST": "SubscribeToTask", "GET": "SubscribeToTask"}
            return Endpoint(both, {"id": task.removesuffix(":subscribe")})
        case ["tasks", task]:
            return Endpoint({"GET": "GetTask"}, {"id": task})
        case ["tasks", task, "pushNotificationConfigs"]:
            methods = {"POST": "CreateTaskPushNotificationConfig", "GET": "ListTaskPushNotificationConfigs"}
            return Endpoint(methods, {"taskId": task})
        case ["tasks", task, "pushNotificationConfigs", config]:
            methods = {"GET": "GetTaskPushNotificationConfig", "DELETE": "DeleteTaskPushNotificationConfig"}
            return Endpoint(methods, {"taskId": task, "id": config})
    return None


def _body(incoming: Incoming, method: str, limits: Limits) -> Mapping[str, Any]:
    if not incoming.body and method not in BODY_NEEDED:
        return {}
    check_media(incoming.headers, MEDIA)
    body = parse_json(incoming.body, limits)
    if not isinstance(body, dict):
        raise _invalid("the body is not an object")
    named: Mapping[str, Any] = normal(body, PARAMS.get(method, QUERY))
    return named


def _query(query: Mapping[str, str]) -> Mapping[str, Any]:
    """Query fields as typed parameters; ones that no method has are left out, as protobuf's readers do."""
    named = QUERY.members.camel(query)
    return {name: read(named[name]) for name, read in FIELDS.items() if name in named}


def _integer(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise _invalid("a number of the query is not one")
    return int(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise _invalid("a flag of the query is neither true nor false")
    return text == "true"


FIELDS: Mapping[str, Callable[[str], Any]] = {
    "tenant": str,
    "contextId": str,
    "status": str,
    "pageSize": _integer,
    "pageToken": str,
    "historyLength": _integer,
    "statusTimestampAfter": str,
    "includeArtifacts": _boolean,
}


def _invalid(detail: str) -> ProtocolError:
    return ProtocolError(Reason.MESSAGE_INVALID, detail, code=INVALID_PARAMS)
