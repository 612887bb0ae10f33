"""The auditor: a newer agent, registered with medium risk. It would read the ledger itself, if it were let."""

from a2a.types import AgentSkill

from demo.agents.conversation import Answer, Request, ask, content_of, serve_agent, tools_of
from demo.workload import Workload, from_arguments

SKILL = AgentSkill(
    id="audit",
    name="Audit accounts",
    description="Checks what other agents say about an account.",
    tags=["finance", "audit"],
    examples=["audit of operations", "second opinion on operations"],
)


async def audit(workload: Workload, request: Request) -> Answer:
    """Read the account from the ledger; for a second opinion have the analyst read it again."""
    account = request.text.split()[-1]
    if request.text.startswith("second opinion"):
        return await ask(workload, "analyst", f"balance of {account}", request.carried)
    async with tools_of(workload, "ledger", request.carried) as ledger:
        balance = await ledger.call_tool("read_balance", {"account": account})
    amount = content_of(balance)["balance"]
    return Answer(f"the ledger says {amount} euros for {account}", {"account": account, "balance": amount})


def main() -> None:
    """Serve the auditor."""
    serve_agent(from_arguments("auditor"), SKILL, audit)


if __name__ == "__main__":
    main()
