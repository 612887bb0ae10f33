"""A person's client that knows nothing but a URL: told what to ask for, and when a call needs more, what that is.

The official client and a certified provider do it all by the challenges and documents that the gateway answers with.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import httpx2
import pytest
from mcp import MCPError
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, TokenStorage
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from gateway.core.audit import DecisionRecord
from tests.company import Company
from tests.peers.oidc import CLIENT_ID, REDIRECT_URI, authorize, oidc_provider
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import through_gateway

MAP = {"ledger.read": ["ledger/read_balance", "ledger/list_entries"], "ledger.pay": ["ledger/pay"]}


class Desk(TokenStorage):
    """Maria at her desk: what her client keeps, and the logins that it sent her to."""

    def __init__(self, issuer: str) -> None:
        self.client = OAuthClientInformationFull(
            client_id=CLIENT_ID, redirect_uris=[REDIRECT_URI], token_endpoint_auth_method="none", issuer=issuer
        )
        self.tokens: OAuthToken | None = None
        self.asked: list[str] = []
        self._answer: dict[str, str] = {}

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info

    async def log_in(self, url: str) -> None:
        parts = urlsplit(url)
        request = dict(parse_qsl(parts.query))
        self.asked.append(request.get("scope", ""))
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            endpoint = parts._replace(query="").geturl()
            self._answer = dict(await authorize(browser, endpoint, request, "maria"))

    async def answer(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(code=self._answer["code"], state=self._answer["state"], iss=self._answer["iss"])


@asynccontextmanager
async def at_the_desk(company: Company, issuer: str) -> AsyncIterator[tuple[Desk, Client]]:
    url, desk = f"{company.data_url}/mcp/ledger", Desk(issuer)
    metadata = OAuthClientMetadata(redirect_uris=[REDIRECT_URI], token_endpoint_auth_method="none")
    auth: Any = OAuthClientProvider(url, metadata, desk, desk.log_in, desk.answer)
    async with (
        httpx2.AsyncClient(verify=company.client("planner"), auth=auth, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield desk, client


async def test_it_asks_for_what_the_challenges_name_and_no_more(company: Company) -> None:
    ledger = Ledger()
    company.settings["routes"]["mcp"]["ledger"]["user"] = "required"
    company.registry["agents"]["planner"]["clients"] = [CLIENT_ID]
    async with oidc_provider() as issuer:
        company.settings["issuers"] = [{"name": "corp", "issuer": issuer, "discovery": True, "scope_map": MAP}]
        company.registry["people"]["corp|maria"]["issuer"] = issuer
        async with through_gateway(company, ledger), at_the_desk(company, issuer) as (desk, client):
            await client.call_tool("read_balance", {"account": "payroll"})
            assert desk.asked == ["ledger.read"]
            await client.call_tool("pay", {"amount": 5, "to": "ACME"})
            assert desk.asked == ["ledger.read", "ledger.read ledger.pay"]
            with pytest.raises(MCPError):
                await client.call_tool("delete_all", {})
            with pytest.raises(MCPError):
                await client.call_tool("pay", {"amount": 5000, "to": "ACME"})
            await client.call_tool("read_balance", {"account": "payroll"})
    assert len(desk.asked) == 2, "no login helps against a policy"
    assert [name for name, _ in ledger.calls] == ["read_balance", "pay", "read_balance"]
    reasons = [
        str(each.record.reason)
        for each in company.records()
        if isinstance(each.record, DecisionRecord) and each.record.action == "invokeTool"
    ]
    assert reasons == ["permitted", "insufficient_scope", "permitted", "no_permit", "approval_required", "permitted"]
