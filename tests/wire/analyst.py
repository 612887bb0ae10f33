"""The analyst behind the company's running gateway, and the policy by which its callers follow their tasks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.company import Company
from tests.gateways import asgi, running
from tests.wire.agent import Agent

OWN_TASKS = """
@id("own-tasks-more")
permit (
  principal,
  action in [
    Action::"listTasks", Action::"cancelTask", Action::"subscribeTask", Action::"getExtendedCard"
  ],
  resource is Agent
);
"""


@asynccontextmanager
async def analysing(company: Company, agent: Agent | None = None) -> AsyncIterator[Agent]:
    """The analyst, or ``agent`` in its place."""
    found = agent or Agent(company, "analyst")
    served = asgi(found.application, company, "agent/analyst", company.upstreams["analyst"])
    async with served, running(company):
        yield found
