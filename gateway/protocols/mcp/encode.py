"""The upstream's request for an authorized MCP ``Call``: what was authorized, re-serialised, and nothing else.

Only the trace context in ``_meta`` is replaced. Doesn't add the token: that is ``proxy.upstream``'s.
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.model import Call
from gateway.protocols.base import JSON, METHOD_NOT_FOUND, SSE, TRACE_FIELDS, Headers, Inbound, Outgoing, trace_headers
from gateway.protocols.jsonrpc import dump_json
from gateway.protocols.mcp.methods import METHODS, era_of
from gateway.protocols.mcp.params import encode_value, param_headers

DENIED = 1403


def encode(
    call: Call, *, session: str | None, trace: Mapping[str, str], schema: Mapping[str, Any] | None = None
) -> Outgoing:
    """The request to the upstream: a POST but for standing streams and the end of a session.

    ``session`` is the upstream's own session id (legacy), ``trace`` the W3C trace context of the gateway's client
    span (sent as headers too), ``schema`` the registered input schema of the called tool.
    """
    if call.http_method != "POST":
        headers = [("MCP-Protocol-Version", call.version), *trace_headers(trace), *_session(session)]
        headers += [("Accept", SSE)] if call.http_method == "GET" else []
        headers += [] if call.resuming is None else [("Last-Event-ID", call.resuming)]
        return Outgoing(call.http_method, "", tuple(headers), b"")
    headers = [("Content-Type", JSON), ("Accept", f"{JSON}, {SSE}"), *trace_headers(trace)]
    if era_of(call) == "modern":
        headers += [("MCP-Protocol-Version", call.version), ("Mcp-Method", call.method)]
        if METHODS[call.method].named_by:
            headers.append(("Mcp-Name", encode_value(call.target)))
        headers += param_headers(schema, call.arguments or {})
    elif call.method != "initialize":
        headers += [("MCP-Protocol-Version", call.version), *_session(session)]
    # A response has no params to carry a trace in.
    message = call.message if call.method == "response" else _retraced(call.message, trace)
    return Outgoing("POST", "", tuple(headers), dump_json(message))


def answer_inbound(call: Call, request: Inbound, *, session: str | None) -> Outgoing:
    """The gateway's own answer to a server's request that is not passed on to the client (legacy only).

    A ping is about the connection, whose other end is the gateway. Anything else was denied, or isn't known.
    """
    answer: dict[str, Any] = {"error": {"code": METHOD_NOT_FOUND, "message": "not a request that is passed on"}}
    if request.method == "ping":
        answer = {"result": {}}
    elif request.action:
        answer = {"error": {"code": DENIED, "message": "no policy permits the request"}}
    headers = [("Content-Type", JSON), ("Accept", f"{JSON}, {SSE}"), ("MCP-Protocol-Version", call.version)]
    body = dump_json({"jsonrpc": "2.0", "id": request.request_id, **answer})
    return Outgoing("POST", "", (*headers, *_session(session)), body)


def _session(session: str | None) -> Headers:
    return () if session is None else (("Mcp-Session-Id", session),)


def _retraced(message: Mapping[str, Any], trace: Mapping[str, str]) -> Mapping[str, Any]:
    params = message.get("params", {})
    found = params.get("_meta", {})
    meta = {name: value for name, value in found.items() if name not in TRACE_FIELDS}
    meta |= {name: trace[name] for name in TRACE_FIELDS if name in trace}
    if meta == found:
        return message
    return {**message, "params": {**params, "_meta": meta}}
