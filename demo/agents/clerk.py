"""The clerk: answers short questions from the ledger, and does nothing at all to continue its chain.

Stock SDKs and stock OpenTelemetry: the middleware takes up the trace of a request, the MCP client passes it on. No
header is copied; the gateway finds the chain by the handle that it put into the trace.
"""

from a2a.types import AgentSkill
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

from demo.agents.conversation import Answer, Request, agent_app, content_of, tools_of
from demo.workload import Workload, from_arguments, serve

SKILL = AgentSkill(
    id="answer",
    name="Answer short questions",
    description="Says what an account holds.",
    tags=["finance", "ledger"],
    examples=["short answer on operations"],
)


async def answer(workload: Workload, request: Request) -> Answer:
    """The account's balance."""
    account = request.text.split()[-1]
    async with tools_of(workload, "ledger", {}) as ledger:
        balance = content_of(await ledger.call_tool("read_balance", {"account": account}))["balance"]
    return Answer(f"{account}: {balance} euros", {"account": account, "balance": balance})


def main() -> None:
    """Serve the clerk."""
    workload = from_arguments("clerk")
    serve(workload, OpenTelemetryMiddleware(agent_app(workload, SKILL, answer)))


if __name__ == "__main__":
    main()
