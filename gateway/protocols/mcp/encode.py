"""The upstream's request for an authorized MCP ``Call``: what was authorized, re-serialised, and nothing else.

Only the trace context in ``_meta`` is replaced. Doesn't add the token: that is ``proxy.upstream``'s.
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.model import Call
from gateway.protocols.base import JSON, SSE, TRACE_FIELDS, Outgoing, trace_headers
from gateway.protocols.jsonrpc import dump_json
from gateway.protocols.mcp.methods import METHODS, era_of
from gateway.protocols.mcp.params import encode_value, param_headers


def encode(
    call: Call, *, session: str | None, trace: Mapping[str, str], schema: Mapping[str, Any] | None = None
) -> Outgoing:
    """The POST to the upstream.

    ``session`` is the upstream's own session id (legacy), ``trace`` the W3C trace context of the gateway's client
    span (sent as headers too), ``schema`` the registered input schema of the called tool.
    """
    headers = [("Content-Type", JSON), ("Accept", f"{JSON}, {SSE}"), *trace_headers(trace)]
    if era_of(call) == "modern":
        headers += [("MCP-Protocol-Version", call.version), ("Mcp-Method", call.method)]
        if METHODS[call.method].named_by:
            headers.append(("Mcp-Name", encode_value(call.target)))
        headers += param_headers(schema, call.arguments or {})
    elif call.method != "initialize":
        headers.append(("MCP-Protocol-Version", call.version))
        if session is not None:
            headers.append(("Mcp-Session-Id", session))
    return Outgoing("POST", "", tuple(headers), dump_json(_retraced(call.message, trace)))


def refuse_inbound(call: Call, request_id: str | int, *, session: str | None) -> Outgoing:
    """The answer to an upstream's request that is not passed on to the client: "method not found" (legacy only)."""
    error = {"code": -32601, "message": "the gateway does not carry requests of servers to clients"}
    headers = [("Content-Type", JSON), ("Accept", f"{JSON}, {SSE}"), ("MCP-Protocol-Version", call.version)]
    if session is not None:
        headers.append(("Mcp-Session-Id", session))
    return Outgoing("POST", "", tuple(headers), dump_json({"jsonrpc": "2.0", "id": request_id, "error": error}))


def _retraced(message: Mapping[str, Any], trace: Mapping[str, str]) -> Mapping[str, Any]:
    params = message.get("params", {})
    found = params.get("_meta", {})
    meta = {name: value for name, value in found.items() if name not in TRACE_FIELDS}
    meta |= {name: trace[name] for name in TRACE_FIELDS if name in trace}
    if meta == found:
        return message
    return {**message, "params": {**params, "_meta": meta}}
