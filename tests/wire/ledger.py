"""A ledger server on the official SDK that remembers what reached it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.streamable_http import EventStore
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import (
    Completion,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmptyResult,
    InputRequiredResult,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel

from tests.conformance.tasks import Tasks

RETRY_MS = 50


class Confirmation(BaseModel):
    """What the ledger would ask a person for."""

    sure: bool


@dataclass
class Ledger:
    """``application`` is the ASGI app; ``headers`` are those of each HTTP request that arrived."""

    stateless: bool = False
    json_response: bool = False
    tasks: Tasks | None = None
    """Makes some of the tools tasks."""
    event_store: EventStore | None = None
    """Gives events ids, and lets clients resume streams."""
    headers: list[dict[str, str]] = field(default_factory=list)
    raw_headers: list[list[tuple[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    """Session ids that the ledger gave out."""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    asked: dict[str, str] = field(default_factory=dict)
    """What the server asked of its client during a call → the answer that it got."""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Lets ``slow`` end."""
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The gateway closed a connection before its answer ended."""
    listened: asyncio.Event = field(default_factory=asyncio.Event)
    """A GET arrived."""
    resumed: asyncio.Event = field(default_factory=asyncio.Event)
    """A GET arrived that goes on after an event."""
    unheard: asyncio.Event = field(default_factory=asyncio.Event)
    """The gateway closed a GET."""

    @property
    def application(self) -> Any:
        inner = self._server().streamable_http_app(
            stateless_http=self.stateless,
            json_response=self.json_response,
            event_store=self.event_store,
            retry_interval=None if self.event_store is None else RETRY_MS,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

        async def recorded(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return await inner(scope, receive, send)
            self.raw_headers.append([(name.decode(), value.decode()) for name, value in scope["headers"]])
            self.headers.append(dict(self.raw_headers[-1]))
            if scope["method"] == "GET":
                (self.resumed if "last-event-id" in self.headers[-1] else self.listened).set()

            async def received() -> Any:
                message = await receive()
                if message["type"] == "http.request":
                    self.bodies.append(message.get("body", b""))
                elif message["type"] == "http.disconnect":
                    (self.unheard if scope["method"] == "GET" else self.left).set()
                return message

            async def sent(message: Any) -> None:
                named = dict(message.get("headers", ()))
                if b"mcp-session-id" in named:
                    self.sessions.add(named[b"mcp-session-id"].decode())
                await send(message)

            return await inner(scope, received, sent)

        return recorded

    def _server(self) -> MCPServer:
        server = MCPServer("ledger")
        self._add_accounts(server)
        self._add_long_calls(server)
        self._add_unwanted(server)
        self._add_documents(server)
        self._add_rounds(server)
        if self.tasks is not None:
            self.tasks.join(server)
        return server

    def _add_accounts(self, server: MCPServer) -> None:
        @server.tool()
        def read_balance(account: str = "operations") -> dict[str, Any]:
            self.calls.append(("read_balance", {"account": account}))
            return {"account": account, "balance": 128150}

        @server.tool()
        def list_entries(account: str) -> list[str]:
            self.calls.append(("list_entries", {"account": account}))
            raise ToolError(f"account {account} is closed")

        @server.tool()
        def pay(amount: int, to: str, memo: str = "") -> dict[str, Any]:
            self.calls.append(("pay", {"amount": amount, "to": to}))
            return {"paid": amount}

    def _add_long_calls(self, server: MCPServer) -> None:
        @server.tool()
        async def count(to: int, ctx: Context) -> int:
            for number in range(1, to + 1):
                await ctx.report_progress(number, to, f"step {number}")
            return to

        @server.tool()
        async def slow(ctx: Context) -> str:
            self.started.set()
            try:
                await ctx.report_progress(0, 1, "begun")
                with anyio.fail_after(30):
                    await self.release.wait()
            except anyio.get_cancelled_exc_class():
                self.cancelled.set()
                raise
            self.finished.set()
            return "done"

        @server.tool()
        async def consult(ctx: Context) -> str:
            """Asks its client for a model's answer and for a person's, and goes on without them."""
            question = SamplingMessage(role="user", content=TextContent(type="text", text="pay?"))
            asking = {
                "sampling": lambda: ctx.session.create_message(
                    [question], max_tokens=1, related_request_id=ctx.request_id
                ),
                "elicitation": lambda: ctx.elicit("pay?", Confirmation),
            }
            for name, ask in asking.items():
                try:
                    self.asked[name] = f"answered: {await ask()}"
                except MCPError as refused:
                    self.asked[name] = f"refused: {refused.error.code}"
            return "went on alone"

    def _add_unwanted(self, server: MCPServer) -> None:
        @server.tool()
        def delete_all() -> str:
            self.calls.append(("delete_all", {}))
            return "gone"

        @server.tool()
        def unregistered() -> str:
            self.calls.append(("unregistered", {}))
            return "never"

    def _add_documents(self, server: MCPServer) -> None:
        @server.resource("file:///ledger/2026.csv", mime_type="text/csv")
        def year() -> str:
            self.calls.append(("2026.csv", {}))
            return "operations,128150"

        @server.resource("file:///keys/signing.pem")
        def key() -> str:
            self.calls.append(("signing.pem", {}))
            return "secret"

        @server.resource("file:///ledger/months/{month}")
        def monthly(month: str) -> str:
            return f"operations in {month}"

        @server.resource("file:///keys/{name}")
        def keys(name: str) -> str:
            self.calls.append(("keys", {"name": name}))
            return "secret"

        @server.prompt()
        def summary(account: str) -> str:
            self.calls.append(("summary", {"account": account}))
            return f"Summarise {account}"

        @server.prompt()
        def audit() -> str:
            self.calls.append(("audit", {}))
            return "Audit all of it"

        @server.completion()  # type: ignore[no-untyped-call,untyped-decorator]
        async def complete(ref: Any, argument: Any, context: Any) -> Completion:
            return Completion(values=[word for word in ("payroll", "petty") if word.startswith(argument.value)])

    def _add_rounds(self, server: MCPServer) -> None:
        @server.tool()
        def confirm(amount: int, ctx: Context) -> str | InputRequiredResult:
            """Asks a person before it goes on, and keeps what it asked about with its caller."""
            answer = (ctx.input_responses or {}).get("sure")
            if isinstance(answer, ElicitResult) and ctx.request_state == f"amount {amount}":
                self.calls.append(("confirm", {"amount": amount}))
                return f"{answer.action} {amount}"
            schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}}
            question = ElicitRequest(params=ElicitRequestFormParams(message="sure?", requested_schema=schema))
            return InputRequiredResult(input_requests={"sure": question}, request_state=f"amount {amount}")

        @server.tool()
        async def touch(uri: str, ctx: Context) -> str:
            """Says that its tools and a resource have changed."""
            await ctx.notify_resource_updated(uri)
            await ctx.notify_tools_changed()
            return "touched"

        @server.tool()
        async def tell(ctx: Context) -> str:
            """Logs, for those who asked for it."""
            await ctx.session.send_log_message(level="info", data="told", related_request_id=ctx.request_id)
            return "told"

        async def accepted(ctx: Any, params: Any) -> EmptyResult:
            self.calls.append((type(params).__name__, params.model_dump(exclude={"meta"}, exclude_none=True)))
            return EmptyResult()

        # MCPServer has no way to add what only sessions have.
        inner = server._lowlevel_server
        inner.add_request_handler("logging/setLevel", SetLevelRequestParams, accepted)
        inner.add_request_handler("resources/subscribe", SubscribeRequestParams, accepted)
        inner.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, accepted)
