"""A client's HTTP request as one A2A ``Call`` (1.0 by JSON-RPC and HTTP+JSON, 0.3 by JSON-RPC, the card).

Decides version, action and resource, and gives every member its one spelling. Doesn't decide whether the call is
allowed or carried, or whose the named tasks are.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Call, Route, Uid
from gateway.core.reasons import Reason
from gateway.protocols.a2a import shapes_0_3
from gateway.protocols.a2a.http_json import MEDIA, is_http_json, method_of, read_http
from gateway.protocols.a2a.methods import (
    BY_VERSION,
    CARD_METHOD,
    CARD_PATH,
    CURRENT,
    SERVED,
    UNVERSIONED,
    VERSION_NOT_SUPPORTED,
    Method,
)
from gateway.protocols.a2a.push import IN_MESSAGE, OLDER, webhook_of, without_secrets
from gateway.protocols.a2a.shapes import PARAMS, QUERY, normal
from gateway.protocols.base import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    JSON,
    METHOD_NOT_FOUND,
    SSE,
    HttpError,
    Incoming,
    accepts,
    check_media,
)
from gateway.protocols.jsonrpc import Request, parse_json, read_request
from gateway.protocols.members import AmbiguousMemberError

VERSION_HEADER = "a2a-version"
VERSION_QUERY = "A2A-Version"
MOST_ID_CHARS = 512


def parse(incoming: Incoming, route: Route, limits: Limits) -> Call:
    """The call that ``incoming`` makes of the agent behind ``route``.

    Raises:
        ProtocolError: the message isn't a valid one; reason, code and HTTP status say why.
    """
    check_http(incoming)
    if incoming.rest == CARD_PATH:
        return _card(route)
    if is_http_json(incoming.rest):
        version = _version(incoming, (CURRENT,))
        return _read(incoming, version, read_http(incoming, limits), route)
    check_media(incoming.headers)
    request = read_request(parse_json(incoming.body, limits))
    try:
        return _read(incoming, _version(incoming, SERVED), request, route)
    except ProtocolError as error:
        error.request_id = request.id
        raise


def check_http(incoming: Incoming) -> None:
    """Refuse what no body could mend: a path or an HTTP method that A2A doesn't have.

    Raises:
        ProtocolError: ROUTE_UNKNOWN or HTTP_METHOD.
    """
    if is_http_json(incoming.rest):
        method_of(incoming)
    elif incoming.http_method != (wanted := "GET" if incoming.rest == CARD_PATH else "POST"):
        what = "the agent card is read" if incoming.rest else "A2A messages are sent"
        raise HttpError(Reason.HTTP_METHOD, f"{what} with {wanted}", status=405, allow=wanted)


def _read(incoming: Incoming, version: str, request: Request, route: Route) -> Call:
    method = BY_VERSION[version].get(request.method)
    if method is None:
        detail = f"not a method of A2A {version}, which {VERSION_QUERY} says or leaves out"
        raise ProtocolError(Reason.METHOD_UNKNOWN, detail, code=METHOD_NOT_FOUND)
    if request.id is None:
        raise ProtocolError(Reason.MESSAGE_INVALID, "A2A has no notifications: id is missing", code=INVALID_REQUEST)
    params = _params(version, method, request)
    _check_accept(incoming, method)
    call = Call(
        protocol="a2a",
        version=version,
        method=request.method,
        action=method.action,
        resource=Uid("Agent", route.name),
        message={**request.message, "params": params},
        request_id=request.id,
        target=_target(method, params),
        arguments=params,
        streaming=method.streaming,
        binding="http" if is_http_json(incoming.rest) else "jsonrpc",
    )
    if webhook_of(call) is None:
        return call
    # A message that sets a webhook creates a push notification configuration besides.
    also = (("createPushConfig", call.resource),) if call.action == "delegate" else ()
    return structs.replace(call, arguments=without_secrets(call), also=also)


def _card(route: Route) -> Call:
    return Call(
        protocol="a2a",
        version=CURRENT,
        method=CARD_METHOD,
        action="discover",
        resource=Uid("Agent", route.name),
        message={},
    )


def _check_accept(incoming: Incoming, method: Method) -> None:
    wanted = (SSE,) if method.streaming else MEDIA if is_http_json(incoming.rest) else (JSON,)
    if "accept" in incoming.headers and not any(accepts(incoming.headers, kind) for kind in wanted):
        raise HttpError(Reason.CONTENT_TYPE, f"Accept excludes {wanted[0]}", status=406)


def _version(incoming: Incoming, served: tuple[str, ...]) -> str:
    """The served version that header or query name; patch numbers don't matter (A2A 1.0 §3.6)."""
    header, query = incoming.headers.get(VERSION_HEADER), incoming.query.get(VERSION_QUERY)
    if header is not None and query is not None and header != query:
        raise ProtocolError(
            Reason.MESSAGE_INVALID, "A2A-Version differs between header and query", code=INVALID_REQUEST
        )
    asked = header or query or UNVERSIONED
    for version in served:
        patch = asked.removeprefix(version)
        if asked == version or (asked != patch and patch.startswith(".") and patch[1:].isdecimal()):
            return version
    data = {"supported": list(served), "requested": asked[:64]}
    detail = f"served is {', '.join(served)}; no A2A-Version means {UNVERSIONED}"
    raise ProtocolError(Reason.VERSION_UNSUPPORTED, detail, code=VERSION_NOT_SUPPORTED, data=data)


def _params(version: str, method: Method, request: Request) -> Mapping[str, Any]:
    shapes, query = (PARAMS, QUERY) if version == CURRENT else (shapes_0_3.PARAMS, shapes_0_3.QUERY)
    try:
        params: Mapping[str, Any] = normal(dict(request.params or {}), shapes.get(request.method, query))
    except AmbiguousMemberError as error:
        raise _invalid(f"params has {error}") from None
    if method.action == "delegate":
        _check_message(params, version)
    return params


def _check_message(params: Mapping[str, Any], version: str) -> None:
    message, configuration = params.get("message"), params.get("configuration")
    if not isinstance(message, dict):
        raise _invalid("params.message is not an object")
    for name in ("taskId", "contextId"):
        _check_id(message.get(name), f"params.message.{name}")
    references = message.get("referenceTaskIds")
    if not isinstance(references, list | None):
        raise _invalid("params.message.referenceTaskIds is not an array")
    for reference in references or ():
        _check_id(reference, "params.message.referenceTaskIds")
    if not isinstance(configuration, dict | None):
        raise _invalid("params.configuration is not an object")
    # Whoever reads both versions would take a webhook that nobody substituted.
    foreign = IN_MESSAGE if version == UNVERSIONED else OLDER
    if (configuration or {}).get(foreign) is not None:
        raise _invalid(f"params.configuration.{foreign} is not of A2A {version}")


def _target(method: Method, params: Mapping[str, Any]) -> str:
    if method.action == "delegate":
        return params["message"].get("taskId") or ""
    if not method.task:
        return ""
    task = params.get(method.task)
    _check_id(task, f"params.{method.task}")
    if not task:
        raise _invalid(f"params.{method.task} is missing")
    return str(task)


def _check_id(value: Any, where: str) -> None:
    """An id is absent, null, or a string that fits a record."""
    if value is not None and not (isinstance(value, str) and len(value) <= MOST_ID_CHARS):
        raise _invalid(f"{where} is not a string of at most {MOST_ID_CHARS} characters")


def _invalid(detail: str) -> ProtocolError:
    return ProtocolError(Reason.MESSAGE_INVALID, detail, code=INVALID_PARAMS)
