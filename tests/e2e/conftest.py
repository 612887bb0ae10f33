"""Shared by the end-to-end tests: the company whose gateway stands between the peers, and its two agents.

The agents are the demo's, on the official A2A SDK: the planner asks the analyst, the analyst uses the ledger.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from a2a.types import AgentSkill

from demo.agents.conversation import Answer, Request, Work, agent_app, ask, content_of, tools_of
from demo.workload import Workload
from tests.company import Company
from tests.gateways import asgi

GATEWAY = "spiffe://demo.test/hopgate"
SKILL = AgentSkill(id="work", name="Work", description="Works for the tests.", tags=["ledger"])


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@pytest.fixture
def agents(company: Company) -> Callable[[], AbstractAsyncContextManager[dict[str, list[Request]]]]:
    """Runs both agents; yields the requests that each of them got."""

    @asynccontextmanager
    async def running_agents():
        heard: dict[str, list[Request]] = {"planner": [], "analyst": []}
        async with AsyncExitStack() as stack:
            for name, work in (("planner", plan), ("analyst", analyse)):
                workload = workload_of(company, name)
                app = agent_app(workload, SKILL, keeping(work, heard[name]), streaming=name == "planner")
                await stack.enter_async_context(asgi(app, company, f"agent/{name}", workload.port))
            yield heard

    return running_agents


async def plan(workload: Workload, request: Request) -> Answer:
    await request.say("planner asks the analyst")
    return await ask(workload, "analyst", request.text, request.carried)


async def analyse(workload: Workload, request: Request) -> Answer:
    """``balance of ACCOUNT`` or ``pay AMOUNT to WHOM``."""
    words = request.text.split()
    paying = words[0] == "pay"
    arguments = {"amount": int(words[1]), "to": words[-1]} if paying else {"account": words[-1]}
    async with tools_of(workload, "ledger", request.carried) as ledger:
        found = content_of(await ledger.call_tool("pay" if paying else "read_balance", arguments))
    return Answer("done", found)


def keeping(work: Work, heard: list[Request]) -> Work:
    async def kept(workload: Workload, request: Request) -> Answer:
        heard.append(request)
        return await work(workload, request)

    return kept


def workload_of(company: Company, name: str) -> Workload:
    files = company.svid(f"agent/{name}")
    return Workload(
        name, company.upstreams[name], files.certificate, files.key, files.bundle, GATEWAY, company.data_url
    )
