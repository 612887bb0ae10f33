"""The planner: the agent that people talk to. It splits the work, delegates it, and files the result."""

from a2a.types import AgentSkill

from demo.agents.conversation import Answer, Request, ask, content_of, serve_agent, tools_of
from demo.workload import Workload, from_arguments

SKILL = AgentSkill(
    id="plan",
    name="Plan finance work",
    description="Answers finance questions with the help of other agents.",
    tags=["finance", "planning"],
    examples=[
        "balance of operations",
        "audit of operations",
        "second opinion on operations",
        "short answer on operations",
    ],
)


HELPERS = {"audit": "auditor", "short": "clerk"}
"""Whose job it is, by the first word of the question; else the analyst's."""


async def plan(workload: Workload, request: Request) -> Answer:
    """Give the question to the agent whose job it is; file what came back as a report."""
    helper = HELPERS.get(request.text.split()[0], "analyst")
    await request.say(f"planner asks the {helper}")
    answer = await ask(workload, helper, request.text, request.carried)
    if answer.refusal is not None:
        return answer
    await request.say("planner files a report")
    async with tools_of(workload, "reports", request.carried) as reports:
        filed = await reports.call_tool("publish_report", {"title": request.text, "body": answer.text})
    number = content_of(filed)["number"]
    return Answer(f"{answer.text} (report {number})", {**answer.facts, "report": number})


def main() -> None:
    """Serve the planner."""
    serve_agent(from_arguments("planner"), SKILL, plan, streaming=True)


if __name__ == "__main__":
    main()
