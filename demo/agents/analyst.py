"""The analyst: reads the ledger, pays when told to, and asks the auditor for second opinions."""

from a2a.types import AgentSkill

from demo.agents.conversation import Answer, Request, ask, content_of, serve_agent, tools_of
from demo.workload import Workload, from_arguments

SKILL = AgentSkill(
    id="analyse",
    name="Analyse accounts",
    description="Reads balances and bookings from the ledger.",
    tags=["finance", "ledger"],
    examples=["balance of operations", "pay 250 to Stationers"],
)


async def analyse(workload: Workload, request: Request) -> Answer:
    """Do what the first word of the question says."""
    words = request.text.split()
    if words[:2] == ["second", "opinion"]:
        return await ask(workload, "auditor", request.text, request.carried)
    if words[0] == "pay":
        return await pay(workload, request, int(words[1]), words[-1])
    return await read(workload, request, words[-1])


async def read(workload: Workload, request: Request, account: str) -> Answer:
    """The account's balance and bookings, and which tools the analyst was shown."""
    async with tools_of(workload, "ledger", request.carried) as ledger:
        shown = sorted(tool.name for tool in (await ledger.list_tools()).tools)
        balance = await ledger.call_tool("read_balance", {"account": account})
        steps: list[float] = []

        async def count(progress: float, total: float | None, message: str | None) -> None:
            steps.append(progress)

        entries = await ledger.call_tool("list_entries", {"account": account}, progress_callback=count)
    amount = content_of(balance)["balance"]
    booked = len(content_of(entries)["result"])
    facts = {"account": account, "balance": amount, "entries": booked, "progress": len(steps), "tools": shown}
    return Answer(f"{account} holds {amount} euros after {booked} bookings", facts)


async def pay(workload: Workload, request: Request, amount: int, to: str) -> Answer:
    """Pay from the operations account."""
    async with tools_of(workload, "ledger", request.carried) as ledger:
        paid = await ledger.call_tool("pay", {"amount": amount, "to": to})
    receipt = content_of(paid)
    return Answer(f"paid {amount} euros to {to}", {"paid": receipt["paid"], "balance": receipt["balance"]})


def main() -> None:
    """Serve the analyst."""
    serve_agent(from_arguments("analyst"), SKILL, analyse)


if __name__ == "__main__":
    main()
