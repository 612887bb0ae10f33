"""MCP through the gateway with the official client and server, over mutual TLS, in both eras."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import jwt
import pytest
from mcp import MCPError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.company import Company
from tests.gateways import asgi, running
from tests.wire.ledger import Ledger

ERAS = ["legacy", "2026-07-28", "auto"]


@asynccontextmanager
async def through_gateway(company: Company, ledger: Ledger) -> AsyncIterator[None]:
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]), running(company):
        yield


@asynccontextmanager
async def client(company: Company, agent: str = "planner", *, mode: str, token: str | None = "") -> AsyncIterator[Client]:
    url = f"{company.data_url}/mcp/ledger"
    headers = {} if token is None else {"Authorization": f"Bearer {token or company.token(url)}"}
    async with httpx2.AsyncClient(verify=company.client(agent), headers=headers, timeout=20) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as session:
            yield session


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("json_response", [False, True])
async def test_the_published_example_lists_and_calls(company: Company, mode: str, json_response: bool) -> None:
    ledger = Ledger(json_response=json_response)
    async with through_gateway(company, ledger), client(company, mode=mode) as session:
        listed = await session.list_tools()
        result = await session.call_tool("read_balance", {"account": "payroll"})
    assert {tool.name for tool in listed.tools} == {"read_balance", "count", "slow", "pay"}
    assert result.structured_content == {"account": "payroll", "balance": 128150}
    assert ledger.calls == [("read_balance", {"account": "payroll"})]
