"""A client's HTTP request as one MCP ``Call``, checked in the order that MCP 2026-07-28 gives.

Decides era, revision, action and resource. Doesn't decide whether the call is allowed or carried: a known method
is a Call, and so its refusal recorded. ``Origin``, ``Host`` and tokens are the server's.
"""

from collections.abc import Mapping
from typing import Any, Literal

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Call, Route
from gateway.core.reasons import Reason
from gateway.core.registry import Tool
from gateway.protocols.base import (
    INVALID_REQUEST,
    JSON,
    METHOD_NOT_FOUND,
    SSE,
    HttpError,
    Incoming,
    accepts,
    check_media,
)
from gateway.protocols.jsonrpc import Request, is_id, is_response, parse_json, read_request
from gateway.protocols.mcp.envelope import (
    VERSION_HEADER,
    check_headers,
    era_of_request,
    legacy_version,
    modern_version,
    read_trace,
)
from gateway.protocols.mcp.methods import ANSWERABLE, LISTS, METHODS, MODERN, TRANSPORT, Era, Method, resource_of
from gateway.protocols.mcp.targets import further_actions, invalid, target_of
from gateway.protocols.mcp.tasks import check_declared
from gateway.protocols.members import AmbiguousMemberError, members

PARAMS = members(
    "_meta", "name", "arguments", "uri", "cursor", "taskId", "task", "ref", "argument", "context", "level",
    "protocolVersion", "capabilities", "clientInfo", "requestId", "reason", "inputResponses", "requestState",
    "notifications",
)  # fmt: skip
NOT_CARRIED_PARAMS = ("inputResponses", "requestState")
"""Input requests have an answer in the call only in the stateless revision."""
WITH_ARGUMENTS = frozenset({"tools/call", "prompts/get"})


def parse(incoming: Incoming, route: Route, limits: Limits, tools: Mapping[str, Tool] = {}) -> Call:
    """The call that ``incoming`` makes of the server behind ``route``; ``tools`` are the server's registered ones.

    Raises:
        ProtocolError: the message isn't a valid one; reason, code and HTTP status say why.
    """
    _check_http(incoming)
    if incoming.http_method != "POST":
        return _transport("GET" if incoming.http_method == "GET" else "DELETE", incoming, route, {})
    value = parse_json(incoming.body, limits)
    if is_response(value) and "mcp-session-id" in incoming.headers:
        return _transport("response", incoming, route, value)
    request = read_request(value)
    try:
        return _read(incoming, request, route, limits, tools)
    except ProtocolError as error:
        error.request_id = request.id
        raise


def _read(incoming: Incoming, request: Request, route: Route, limits: Limits, tools: Mapping[str, Tool]) -> Call:
    era = era_of_request(incoming.headers, request)
    if era == "modern":
        version = modern_version(incoming.headers, request)
        check_headers(incoming.headers, request, tools)
    else:
        version = legacy_version(incoming.headers, request)
    method = _method(request, era, version)
    params = request.params or {}
    target, resource = target_of(request.method, method, params, route.name, limits)
    _check_params(request, params, era)
    in_session = era == "legacy" and request.method != "initialize"
    call = Call(
        protocol="mcp",
        version=version,
        method=request.method,
        action=method.action,
        resource=resource,
        message=request.message,
        request_id=request.id,
        target=target,
        arguments=params.get("arguments") if request.method in WITH_ARGUMENTS else None,
        session=incoming.headers.get("mcp-session-id") if in_session else None,
        trace=read_trace(request.message),
        also=further_actions(request.method, params, route.name),
        state=params.get("requestState") if request.method in ANSWERABLE else None,
    )
    check_declared(call)
    return call


def _check_http(incoming: Incoming) -> None:
    if incoming.rest:
        raise ProtocolError(Reason.ROUTE_UNKNOWN, "an MCP route has one endpoint", code=INVALID_REQUEST)
    in_session = "mcp-session-id" in incoming.headers and incoming.headers.get(VERSION_HEADER) not in MODERN
    if incoming.http_method == "DELETE" and in_session:
        return
    if incoming.http_method == "GET" and in_session:
        if not accepts(incoming.headers, SSE):
            raise HttpError(Reason.CONTENT_TYPE, f"Accept must name {SSE}", status=406)
        return
    if incoming.http_method != "POST":
        raise HttpError(Reason.HTTP_METHOD, "MCP messages are sent with POST", status=405, allow="POST")
    check_media(incoming.headers)
    if not accepts(incoming.headers, JSON, SSE):
        raise HttpError(Reason.CONTENT_TYPE, f"Accept must name both {JSON} and {SSE}", status=406)


def _transport(
    name: Literal["GET", "DELETE", "response"], incoming: Incoming, route: Route, message: Mapping[str, Any]
) -> Call:
    """A session's standing stream, its end, or its client's answer to a request of the server."""
    method = TRANSPORT[name]
    return Call(
        protocol="mcp",
        version=legacy_version(incoming.headers, Request(None, name, None, message)),
        method=name,
        action=method.action,
        resource=resource_of(method, route.name, ""),
        message=message,
        session=incoming.headers["mcp-session-id"],
        answering=_answered(message) if name == "response" else None,
        resuming=incoming.headers.get("last-event-id") if name == "GET" else None,
        http_method="POST" if name == "response" else name,
    )


def _answered(message: Mapping[str, Any]) -> str:
    """The id of the request that a response is to: the gateway's own are strings."""
    request_id = message.get("id")
    known = message.keys() <= {"jsonrpc", "id", "result", "error"} and message.get("jsonrpc") == "2.0"
    if not known or not isinstance(request_id, str) or ("result" in message) == ("error" in message):
        raise ProtocolError(Reason.MESSAGE_INVALID, "the body is not a response", code=INVALID_REQUEST)
    return request_id


def _method(request: Request, era: Era, version: str) -> Method:
    method = METHODS.get(request.method)
    if method is None or era not in method.eras or version < method.since:
        raise ProtocolError(Reason.METHOD_UNKNOWN, "not a method of this revision", code=METHOD_NOT_FOUND)
    if method.notification != (request.id is None):
        detail = "a notification with an id" if method.notification else "a request without an id"
        raise ProtocolError(Reason.MESSAGE_INVALID, detail, code=INVALID_REQUEST)
    return method


def _check_params(request: Request, params: Mapping[str, Any], era: Era) -> None:
    try:
        PARAMS.exact(params)
    except AmbiguousMemberError as error:
        raise invalid(f"params has {error}") from None
    if "_meta" in params and not isinstance(params["_meta"], dict):
        raise invalid("params._meta is not an object")
    _check_rounds(request, params, era)
    if request.method in WITH_ARGUMENTS and not isinstance(params.get("arguments", {}), dict):
        raise invalid("params.arguments is not an object")
    if request.method in LISTS and not isinstance(params.get("cursor", ""), str):
        raise invalid("params.cursor is not a string")
    if request.method == "notifications/cancelled" and not is_id(params.get("requestId")):
        raise invalid("params.requestId is not a string or an integer")


def _check_rounds(request: Request, params: Mapping[str, Any], era: Era) -> None:
    """What makes a call go on: a task, and answers to what its server asked."""
    for name in NOT_CARRIED_PARAMS if era == "legacy" else ():
        if name in params and request.method in ANSWERABLE:
            raise _not_yet(f"params.{name}")
    if request.method == "tasks/update" and "inputResponses" not in params:
        raise invalid("params.inputResponses is missing")
    if era == "legacy" and not isinstance(params.get("task", {}), dict):
        raise invalid("params.task is not an object")
    if not isinstance(params.get("inputResponses", {}), dict):
        raise invalid("params.inputResponses is not an object")
    if not isinstance(params.get("requestState", ""), str):
        raise invalid("params.requestState is not a string")


def _not_yet(what: str) -> ProtocolError:
    return ProtocolError(Reason.NOT_SUPPORTED_YET, f"{what} is not carried", code=METHOD_NOT_FOUND)
