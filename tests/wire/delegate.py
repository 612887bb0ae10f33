"""Hop tokens as an agent receives them, for tests to act as that agent."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from tests.company import Company
from tests.gateways import asgi
from tests.wire import agent as a2a
from tests.wire.agent import Agent


@asynccontextmanager
async def delegates(company: Company, *names: str) -> AsyncIterator[list[Agent]]:
    """The named agents, serving at their registered URLs."""
    async with AsyncExitStack() as stack:
        found = [Agent(company, name) for name in names]
        for agent in found:
            served = asgi(agent.application, company, f"agent/{agent.name}", company.upstreams[agent.name])
            await stack.enter_async_context(served)
        yield found


async def ask(company: Company, caller: str | None, delegate: str, token: str = "") -> httpx.Response:
    """``caller`` (None: anyone at the public listener) sends ``delegate`` a message; as Maria, or with ``token``."""
    async with a2a.bare(company, caller, delegate, token=token) as route:
        return await route.post(a2a.sending("close the books"))


async def delegated(company: Company, delegate: Agent, *, caller: str | None = "planner", token: str = "") -> str:
    """The hop token that ``delegate`` received when ``caller`` asked it."""
    reply = await ask(company, caller, delegate.name, token)
    assert reply.status_code == 200, reply.text
    return delegate.headers[-1]["authorization"].removeprefix("Bearer ")
