"""Requests as a client would send them, for both protocols."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.core.limits import Limits
from gateway.core.model import Route
from gateway.protocols.base import Incoming

MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}
MEDIA = {"content-type": "application/json", "accept": "application/json, text/event-stream"}

Send = Callable[..., Incoming]


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def mcp_route() -> Route:
    return Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")


@pytest.fixture
def a2a_route() -> Route:
    return Route("a2a", "analyst", "/a2a/analyst", "https://gw.test/a2a/analyst", "https://analyst.test/")


def incoming(
    message: Any = None,
    headers: Mapping[str, str] = {},
    query: Mapping[str, str] = {},
    rest: str = "",
    method: str = "POST",
) -> Incoming:
    body = message if isinstance(message, bytes) else b"" if message is None else json.dumps(message).encode()
    return Incoming(method, rest, {**MEDIA, **headers}, query, body)


@pytest.fixture
def modern() -> Send:
    """A modern MCP request: ``modern("tools/call", {"name": "pay"}, headers={"mcp-name": None})``."""

    def send(
        method: str, params: Mapping[str, Any] | None = None, *, headers: Mapping[str, str | None] = {}, id: Any = 1
    ) -> Incoming:
        params = {"_meta": META, **(params or {})}
        message = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
        if id is None:
            del message["id"]
        sent = {"mcp-protocol-version": MODERN, "mcp-method": method}
        named = params.get("name", params.get("uri", params.get("taskId")))
        if isinstance(named, str):
            sent["mcp-name"] = named
        return incoming(message, {k: v for k, v in {**sent, **headers}.items() if v is not None})

    return send


@pytest.fixture
def legacy() -> Send:
    """A legacy MCP request within a session."""

    def send(
        method: str, params: Mapping[str, Any] | None = None, *, headers: Mapping[str, str | None] = {}, id: Any = 1
    ) -> Incoming:
        message = {"jsonrpc": "2.0", "method": method}
        if id is not None:
            message["id"] = id
        if params is not None:
            message["params"] = params
        sent = {"mcp-protocol-version": "2025-11-25", "mcp-session-id": "sealed", **headers}
        return incoming(message, {k: v for k, v in sent.items() if v is not None})

    return send


@pytest.fixture
def a2a() -> Send:
    """An A2A 1.0 request."""

    def send(
        method: str,
        params: Any = None,
        *,
        headers: Mapping[str, str | None] = {},
        query: Mapping[str, str] = {},
        id: Any = "r1",
    ) -> Incoming:
        message = {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}
        if id is None:
            del message["id"]
        sent = {"a2a-version": "1.0", "accept": "*/*", **headers}
        return incoming(message, {k: v for k, v in sent.items() if v is not None}, query)

    return send
