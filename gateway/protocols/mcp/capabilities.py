"""Which capability of its client a server's request takes, and whether the client declared it (MCP 2026-07-28).

A server must not ask what the client didn't declare. One that does is not passed on: the call ends with -32021.
Doesn't know sessions, whose clients declare once and refuse for themselves.
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.errors import ProtocolError
from gateway.core.model import Call
from gateway.core.reasons import Reason
from gateway.protocols.base import Asks, Inbound
from gateway.protocols.mcp.methods import META_CAPABILITIES, meta_of

CAPABILITY_MISSING = -32021


def check_declared(call: Call, asks: Asks) -> None:
    """Refuse an ``input_required`` answer to ``call`` that asks for more than the client declared with it.

    Raises:
        ProtocolError: CAPABILITY_MISSING (-32021, HTTP 400) with ``requiredCapabilities``, a ClientCapabilities
            object of all that is missing.
    """
    declared = meta_of(call.message).get(META_CAPABILITIES)
    given = declared if isinstance(declared, dict) else {}
    missing: dict[str, dict[str, Any]] = {}
    for request in asks.requests:
        name, mode = _needed(request)
        if not _has(given, name, mode):
            missing[name] = missing.get(name, {}) | ({mode: {}} if mode else {})
    if missing:
        raise ProtocolError(
            Reason.CAPABILITY_MISSING,
            f"the server asks for {', '.join(sorted(missing))}",
            code=CAPABILITY_MISSING,
            request_id=call.request_id,
            data={"requiredCapabilities": missing},
        )


def _needed(request: Inbound) -> tuple[str, str]:
    """The capability, and its part where it has parts."""
    if request.action in ("elicit", "elicitUrl"):
        return "elicitation", "form" if request.action == "elicit" else "url"
    if request.action == "readRoots":
        return "roots", ""
    params = request.value.get("params", {})
    return "sampling", "tools" if {"tools", "toolChoice"} & params.keys() else ""


def _has(declared: Mapping[str, Any], name: str, part: str) -> bool:
    """``elicitation: {}`` is the form of before there were parts, and means forms."""
    found = declared.get(name)
    if not isinstance(found, dict):
        return False
    return not part or isinstance(found.get(part), dict) or (part == "form" and "url" not in found)
