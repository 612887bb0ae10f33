"""A ledger server on the official SDK that remembers what reached it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings


@dataclass
class Ledger:
    """``application`` is the ASGI app; ``headers`` are those of each HTTP request that arrived."""

    stateless: bool = False
    json_response: bool = False
    headers: list[dict[str, str]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def application(self) -> Any:
        inner = self._server().streamable_http_app(
            stateless_http=self.stateless,
            json_response=self.json_response,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

        async def recorded(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
            await inner(scope, receive, send)

        return recorded

    def _server(self) -> MCPServer:
        server = MCPServer("ledger")

        @server.tool()
        def read_balance(account: str = "operations") -> dict[str, Any]:
            self.calls.append(("read_balance", {"account": account}))
            return {"account": account, "balance": 128150}

        @server.tool()
        async def count(to: int, ctx: Context) -> int:
            for number in range(1, to + 1):
                await ctx.report_progress(number, to, f"step {number}")
                await asyncio.sleep(0.01)
            return to

        @server.tool()
        async def slow(ctx: Context) -> str:
            self.started.set()
            try:
                await ctx.report_progress(0, 1, "begun")
                await anyio.sleep(30)
            except anyio.get_cancelled_exc_class():
                self.cancelled.set()
                raise
            return "done"

        @server.tool()
        def pay(amount: int, to: str, memo: str = "") -> dict[str, Any]:
            self.calls.append(("pay", {"amount": amount, "to": to}))
            return {"paid": amount}

        @server.tool()
        def delete_all() -> str:
            self.calls.append(("delete_all", {}))
            return "gone"

        @server.tool()
        def unregistered() -> str:
            self.calls.append(("unregistered", {}))
            return "never"

        return server
