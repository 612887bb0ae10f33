"""Bare HTTP at the company's MCP routes, for what no SDK would send or show."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2

from gateway.store.query import Found
from tests.company import Company
from tests.gateways import asgi, running
from tests.wire.ledger import Ledger

MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = "io.modelcontextprotocol/"
Message = dict[str, Any]


class Wire(NamedTuple):
    """HTTP to one route."""

    http: httpx2.AsyncClient
    url: str


@asynccontextmanager
async def through_gateway(company: Company, ledger: Ledger) -> AsyncIterator[None]:
    """The ledger, and the company's gateway in front of it."""
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]), running(company):
        yield


@asynccontextmanager
async def bare(
    company: Company, agent: str | None = "planner", *, server: str = "ledger", token: str | None = ""
) -> AsyncIterator[Wire]:
    """HTTP at a server's route: as an agent, or as anyone at the public listener. Maria's token unless one is named."""
    url = f"{company.public_url if agent is None else company.data_url}/mcp/{server}"
    context = company.anyone() if agent is None else company.client(agent)
    headers = {} if token is None else {"Authorization": f"Bearer {token or company.token(url)}"}
    async with httpx2.AsyncClient(verify=context, headers=headers, timeout=20) as http:
        yield Wire(http, url)


def modern(method: str, params: Mapping[str, Any] | None = None, *, request_id: int | None = 7) -> Message:
    """A message of the stateless revision."""
    meta = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}}
    return legacy(method, {**(params or {}), "_meta": meta}, request_id=request_id)


def legacy(method: str, params: Mapping[str, Any] | None = None, *, request_id: int | None = 7) -> Message:
    """A message of a session."""
    message: Message = {"jsonrpc": "2.0", "method": method}
    if request_id is not None:
        message["id"] = request_id
    return message if params is None else {**message, "params": dict(params)}


def call(tool: str, **arguments: Any) -> Message:
    """A modern ``tools/call``."""
    return modern("tools/call", {"name": tool, "arguments": arguments})


INITIALIZE = legacy(
    "initialize",
    {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bare", "version": "1"}},
    request_id=1,
)


def headers_of(message: Any) -> dict[str, str]:
    """The HTTP headers that belong to ``message``."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    params = message.get("params", {}) if isinstance(message, dict) else {}
    if f"{META}protocolVersion" in params.get("_meta", {}):
        headers |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": message["method"]}
        named = params.get("name") or params.get("uri") or params.get("taskId")
        headers |= {"Mcp-Name": named} if named else {}
    return headers


async def post(wire: Wire, message: Any, headers: Mapping[str, str | None] | None = None) -> httpx2.Response:
    """Send ``message`` with the headers that belong to it, changed by ``headers``; None leaves one out."""
    wanted = {**headers_of(message), **(headers or {})}
    content = message if isinstance(message, bytes) else json.dumps(message).encode()
    kept = {name: value for name, value in wanted.items() if value is not None}
    return await wire.http.post(wire.url, content=content, headers=kept)


async def open_session(wire: Wire) -> dict[str, str | None]:
    """Initialize; the headers of the messages that follow."""
    opened = await post(wire, INITIALIZE)
    assert opened.status_code == 200, opened.text
    session: dict[str, str | None] = {
        "Mcp-Session-Id": opened.headers["mcp-session-id"],
        "MCP-Protocol-Version": LEGACY,
    }
    assert (await post(wire, legacy("notifications/initialized", request_id=None), session)).status_code == 202
    return session


def answer_of(response: httpx2.Response) -> Message:
    """The JSON-RPC answer, whole or the last event of a stream."""
    if response.headers["content-type"].startswith("text/event-stream"):
        data = [line.removeprefix("data:") for line in response.text.splitlines() if line.startswith("data:")]
        return dict(json.loads(data[-1]))
    return dict(response.json())


def refusal_of(response: httpx2.Response) -> tuple[int, int, str]:
    """HTTP status, JSON-RPC code and reason."""
    error = answer_of(response)["error"]
    return response.status_code, error["code"], error["data"]["reason"]


def record_of(company: Company, response: httpx2.Response) -> Found:
    """What was recorded of the refused request."""
    decision = answer_of(response)["error"]["data"]["decision_id"]
    [found] = [found for found in company.records() if found.record.hop == decision]
    return found
