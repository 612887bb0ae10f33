"""Which revision a message speaks, and whether its headers agree with its body.

A body whose ``_meta`` names a protocol version is modern, whatever its headers say; else ``initialize`` or a
session makes it legacy. Doesn't look at what the method means.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.errors import ProtocolError
from gateway.core.reasons import Reason
from gateway.core.registry import Tool
from gateway.protocols.base import INVALID_PARAMS, TRACE_FIELDS
from gateway.protocols.jsonrpc import Request
from gateway.protocols.mcp.methods import (
    LEGACY,
    META_CAPABILITIES,
    META_VERSION,
    METHODS,
    MODERN,
    SERVED,
    Era,
    meta_of,
)
from gateway.protocols.mcp.params import decode_value, disagreement

HEADER_MISMATCH = -32020
VERSION_UNSUPPORTED = -32022
RETIRED = ("2025-03-26", "2024-11-05")
VERSION_HEADER = "mcp-protocol-version"
MOST_TRACE_CHARS = 1024


def era_of_headers(headers: Mapping[str, str]) -> Era:
    """The era where no body could be read; it only shapes the refusal."""
    version = headers.get(VERSION_HEADER)
    return "legacy" if version not in MODERN and (version is not None or "mcp-session-id" in headers) else "modern"


def era_of_request(headers: Mapping[str, str], request: Request) -> Era:
    """The era of a message. One that shows no sign of either is held to the modern rules, and so refused."""
    if META_VERSION in meta_of(request.message):
        return "modern"
    if request.method == "initialize":
        return "legacy"
    version = headers.get(VERSION_HEADER)
    if version in MODERN:
        return "modern"
    return "legacy" if "mcp-session-id" in headers or version in LEGACY + RETIRED else "modern"


def modern_version(headers: Mapping[str, str], request: Request) -> str:
    """The revision of a modern message: its ``_meta``'s, or a notification's header where it has no ``_meta``.

    Raises:
        ProtocolError: MESSAGE_INVALID (-32602) for missing ``_meta``, VERSION_UNSUPPORTED (-32022), or
            HEADER_MISMATCH (-32020).
    """
    meta, header = meta_of(request.message), headers.get(VERSION_HEADER)
    version = meta.get(META_VERSION)
    if request.id is None and META_VERSION not in meta:
        version = header
    elif not isinstance(version, str):
        raise _missing(META_VERSION)
    elif request.id is not None and not isinstance(meta.get(META_CAPABILITIES), dict):
        raise _missing(META_CAPABILITIES)
    if version is None or header != version:
        # Before the version is judged: a client that contradicts itself is told so (ADR 7).
        raise _mismatch("MCP-Protocol-Version is missing or differs from the body")
    if version not in MODERN:
        raise _unsupported(version, VERSION_UNSUPPORTED, MODERN)
    return str(version)


def legacy_version(headers: Mapping[str, str], request: Request) -> str:
    """The revision of a legacy message: what ``initialize`` asks for, else the header's, else the oldest served.

    Raises:
        ProtocolError: VERSION_UNSUPPORTED with the served ones in its data, or MESSAGE_INVALID.
    """
    if request.method != "initialize":
        version = headers.get(VERSION_HEADER, LEGACY[-1])
        if version not in LEGACY:
            raise _unsupported(version, VERSION_UNSUPPORTED, SERVED)
        return version
    asked = (request.params or {}).get("protocolVersion")
    if not isinstance(asked, str):
        raise ProtocolError(Reason.MESSAGE_INVALID, "params.protocolVersion is not a string", code=INVALID_PARAMS)
    if asked not in LEGACY:
        raise _unsupported(asked, INVALID_PARAMS, SERVED)
    return asked


def check_headers(headers: Mapping[str, str], request: Request, tools: Mapping[str, Tool]) -> None:
    """Hold ``Mcp-Method``, ``Mcp-Name`` and ``Mcp-Param-*`` against the body.

    Raises:
        ProtocolError: HEADER_MISMATCH (-32020), naming the header and never its value.
    """
    if headers.get("mcp-method") != request.method:
        raise _mismatch("Mcp-Method is missing or differs from the body")
    method, params = METHODS.get(request.method), request.params or {}
    # A method that this revision no longer has is unknown, whatever it was named by.
    name = params.get(method.named_by) if method is not None and "modern" in method.eras else None
    if isinstance(name, str) and decode_value(headers.get("mcp-name", "")) != name:
        raise _mismatch("Mcp-Name is missing or differs from the body")
    arguments = params.get("arguments", {})
    tool = tools.get(name) if isinstance(name, str) and request.method == "tools/call" else None
    if tool is not None and isinstance(arguments, dict):
        differing = disagreement(tool.input_schema, arguments, headers)
        if differing is not None:
            raise _mismatch(f"{differing} is missing or differs from the body")


def read_trace(message: Mapping[str, Any]) -> Mapping[str, str]:
    """``traceparent`` and ``tracestate`` of ``_meta`` as sent; whether they are valid is the tracer's to say."""
    meta = meta_of(message)
    values = {name: meta.get(name) for name in TRACE_FIELDS if name != "baggage"}
    return {k: v for k, v in values.items() if isinstance(v, str) and v.isascii() and len(v) <= MOST_TRACE_CHARS}


def _missing(key: str) -> ProtocolError:
    return ProtocolError(Reason.MESSAGE_INVALID, f"params._meta needs {key}", code=INVALID_PARAMS)


def _mismatch(detail: str) -> ProtocolError:
    return ProtocolError(Reason.HEADER_MISMATCH, detail, code=HEADER_MISMATCH)


def _unsupported(requested: str, code: int, served: Sequence[str]) -> ProtocolError:
    data = {"supported": list(served), "requested": requested[:64]}
    return ProtocolError(Reason.VERSION_UNSUPPORTED, f"served are {', '.join(served)}", code=code, data=data)
