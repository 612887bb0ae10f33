"""The finance team's ledger as an MCP server: balances, entries, payments. Figures are made up and kept in memory."""

import asyncio

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

from demo.workload import from_arguments, serve


class Entry(BaseModel):
    """One booking, in whole euros."""

    day: str
    text: str
    amount: int


class Balance(BaseModel):
    """An account's balance, in whole euros."""

    account: str
    balance: int


class Receipt(BaseModel):
    """A payment that was made, and what is left."""

    paid: int
    to: str
    balance: int


BOOKS = {
    "operations": (
        Entry(day="2026-11-02", text="opening balance", amount=120_000),
        Entry(day="2026-11-04", text="cloud invoice", amount=-18_250),
        Entry(day="2026-11-09", text="customer payment", amount=26_400),
    ),
    "payroll": (Entry(day="2026-11-01", text="opening balance", amount=310_000),),
}


def build() -> MCPServer:
    """The server, with books of its own."""
    server = MCPServer("ledger", instructions="Accounts: operations, payroll. Amounts are whole euros.")
    books = {account: list(entries) for account, entries in BOOKS.items()}

    def entries_of(account: str) -> list[Entry]:
        if account not in books:
            raise ToolError(f"no account {account!r}; there are {', '.join(sorted(books))}")
        return books[account]

    @server.tool(description="The balance of an account.")
    def read_balance(account: str) -> Balance:
        return Balance(account=account, balance=sum(entry.amount for entry in entries_of(account)))

    @server.tool(description="The bookings of an account, oldest first; reports progress.")
    async def list_entries(account: str, ctx: Context) -> list[Entry]:
        entries = entries_of(account)
        for number, entry in enumerate(entries, start=1):
            await ctx.report_progress(number, len(entries), entry.text)
            await asyncio.sleep(0.02)
        return entries

    @server.tool(description="Pay an amount from the operations account.")
    def pay(amount: int, to: str, memo: str = "") -> Receipt:
        entries = entries_of("operations")
        entries.append(Entry(day="2026-11-10", text=memo or f"payment to {to}", amount=-amount))
        return Receipt(paid=amount, to=to, balance=sum(entry.amount for entry in entries))

    return server


def main() -> None:
    """Serve with sessions for clients of the session era; modern clients need none."""
    serve(from_arguments("ledger"), build().streamable_http_app())


if __name__ == "__main__":
    main()
