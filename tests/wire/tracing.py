"""Traces as agents carry them: what reached a delegate, and requests that carry one on."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import httpx2

from gateway.protocols import tracestate
from tests.company import Company
from tests.wire.agent import Agent
from tests.wire.delegate import ask
from tests.wire.mcp_calls import bare, call, post

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
READ = call("read_balance")


def traced(company: Company, *agents: str) -> None:
    """Let the agents continue chains by their trace too."""
    for agent in agents:
        company.registry["agents"][agent]["continuation"] = ["header", "trace", "exchange"]


def handle_of(headers: Mapping[str, str]) -> str:
    """The one handle in the trace state of a request that arrived."""
    (handle,) = tracestate.handles([headers["tracestate"]])
    return handle


async def handed(company: Company, delegate: Agent, *, caller: str | None = "planner", token: str = "") -> str:
    """The handle that ``delegate`` was given when ``caller`` asked it."""
    reply = await ask(company, caller, delegate.name, token)
    assert reply.status_code == 200, reply.text
    return handle_of(delegate.headers[-1])


async def carrying(
    company: Company,
    agent: str,
    *states: str,
    meta: str | None = None,
    token: str | None = None,
    message: Mapping[str, Any] = READ,
    **headers: str,
) -> httpx2.Response:
    """``agent`` calls the ledger, with trace states in headers and in the message."""
    body = deepcopy(dict(message))
    if meta is not None:
        body["params"]["_meta"] |= {"traceparent": PARENT, "tracestate": meta}
    fields = [("traceparent", PARENT), *(("tracestate", state) for state in states)]
    async with bare(company, agent, token=token) as wire:
        wire.http.headers = httpx2.Headers([*wire.http.headers.multi_items(), *fields])
        return await post(wire, body, headers)
