"""An authorization server that answers what a test wants, and remembers what it was asked."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.core.third_party import OAuthClient


class IssuerStandIn:
    """``answer`` is the next token answer: a body, a status and headers."""

    def __init__(self) -> None:
        self.origin = ""
        self.metadata: dict[str, Any] = {}
        self.answer: tuple[Any, int, dict[str, str]] = ({}, 200, {})
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.issued = 0
        self.before_answer: Callable[[], Awaitable[Any]] | None = None

    def issue(self, **more: Any) -> None:
        """Answer with another token each time from now on."""
        self.answer = (None, 200, more)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        form = dict(parse_qsl((await request.read()).decode()))
        self.asked.append((request.path, form, dict(request.headers)))
        if request.method == "GET":
            found = request.path.startswith("/.well-known/") and self.metadata
            return web.json_response(self.metadata) if found else web.Response(status=404)
        if self.before_answer is not None:
            await self.before_answer()
        body, status, more = self.answer
        if body is None:
            self.issued += 1
            body, more = {"access_token": f"token-{self.issued}", "token_type": "Bearer", **more}, {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=content, status=status, headers={"Content-Type": "application/json", **more})

    @property
    def posts(self) -> list[dict[str, str]]:
        """The forms that its token endpoint got."""
        return [form for path, form, _ in self.asked if path == "/token"]

    def client(self, **more: Any) -> OAuthClient:
        """A client of it."""
        good: dict[str, Any] = {
            "grant": "client_credentials",
            "issuer": self.origin,
            "client_id": "hopgate",
            "authentication": "client_secret_basic",
            "secret": "env:SECRET",
            "scopes": ("issues",),
            "resource": "https://tracker.test/mcp",
        }
        return OAuthClient(**(good | more))


@asynccontextmanager
async def issuer_stand_in() -> AsyncIterator[IssuerStandIn]:
    """One on loopback, with metadata that is right."""
    stand_in = IssuerStandIn()
    runner = web.ServerRunner(web.Server(stand_in.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stand_in.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    stand_in.metadata = {
        "issuer": stand_in.origin,
        "token_endpoint": f"{stand_in.origin}/token",
        "authorization_endpoint": f"{stand_in.origin}/auth",
    }
    stand_in.issue(expires_in=600)
    try:
        yield stand_in
    finally:
        await runner.cleanup()
