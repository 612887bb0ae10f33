"""A ledger whose sessions have standing streams and whose streams can be resumed, as the official SDK offers it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError

from tests.company import SCOPES, Company
from tests.conformance.server import Events
from tests.wire.ledger import Confirmation, Ledger

TOOLS = ("announce", "aside", "leave")
READABLE, SECRET = "file:///ledger/2026.csv", "file:///keys/signing.pem"
POLICY = """
@id("reports")
permit (principal in Group::"finance-agents", action == Action::"readResource", resource in ResourceSet::"reports");
"""
ASKING = """
@id("ledger-asks-people")
permit (principal == McpServer::"ledger", action == Action::"elicit", resource in Group::"finance-agents");
"""


@dataclass
class Remembering(Ledger):
    """``go_on`` lets a tool end that has ``closed`` its stream."""

    closed: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.event_store = Events()

    def _server(self) -> MCPServer:
        server = super()._server()

        @server.tool()
        async def announce(ctx: Context) -> str:
            """Tells of changes on the standing stream."""
            await ctx.session.send_resource_updated(SECRET)
            await ctx.session.send_resource_updated(READABLE)
            await ctx.session.send_tool_list_changed()
            return "announced"

        @server.tool()
        async def aside(ctx: Context) -> str:
            """Asks on the standing stream."""
            try:
                self.asked["aside"] = f"answered: {await ctx.session.elicit_form('sure?', _schema())}"
            except MCPError as refused:
                self.asked["aside"] = f"refused: {refused.error.code}"
            return "went on alone"

        @server.tool()
        async def leave(ctx: Context, account: str = "operations") -> str:
            """Closes its stream, and answers once it may."""
            self.calls.append(("leave", {"account": account}))
            await ctx.report_progress(1, 2, "leaving")
            await ctx.close_sse_stream()
            self.closed.set()
            await self.go_on.wait()
            return f"back with {account}"

        return server


def _schema() -> dict[str, Any]:
    return Confirmation.model_json_schema()


def admit(company: Company) -> None:
    """Register what is more than the ledger's own, for the planner and the analyst."""
    granted = [*SCOPES, "ledger/resources/read", *(f"ledger/{tool}" for tool in TOOLS)]
    ledger = company.registry["servers"]["ledger"]
    ledger["resources"] = {"file:///ledger/*": {"sets": ["reports"]}}
    for tool in TOOLS:
        ledger["tools"][tool] = {"risk_level": "low", "sets": ["finance-readonly"]}
    company.registry["agents"]["planner"]["scopes"] = granted
    company.registry["agents"]["analyst"] |= {"entry_point": True, "clients": ["cli"], "scopes": granted}
    company.settings["issuers"][0]["scope_map"]["all"] = granted
    company.policies["platform/documents.cedar"] = POLICY
