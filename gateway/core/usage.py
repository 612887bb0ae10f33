"""What is counted of calls, and whose they are: the closed vocabulary of quotas, of ``context.usage`` and of their API.

Knows neither counts (``core.tally``) nor limits (``core.quotas``).
"""

from typing import Literal, get_args

from msgspec import Struct

from gateway.core.model import Hop, Route
from gateway.core.registry import Registry

Kind = Literal["agent", "user", "team", "tool", "agent_tool", "user_tool", "agent_destructive", "route"]
"""Whose calls are counted together. ``agent_destructive``: an agent's calls of destructive tools; ``route``: all that
one server or agent behind the gateway is sent."""
KINDS: tuple[Kind, ...] = get_args(Kind)
SEEN: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "route")
"""Those that policies see."""
Measure = Literal["requests", "concurrent", "bytes"]


class Subject(Struct, frozen=True, order=True):
    """One agent, user, …: ``name`` as registered, a user's as ``<idp>|<subject>``; ``tool`` only for pairs."""

    kind: Kind
    name: str
    tool: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.tool}".rstrip()


def known_before_reading(route: Route | None, agent: str | None, user: str | None, registry: Registry) -> list[Subject]:
    """Whose a request is as far as its head tells; ``agent`` and ``user`` are verified, or None."""
    found = [] if route is None else [Subject("route", route.path.lstrip("/"))]
    team = _team(agent, user, registry)
    if agent is not None:
        found.append(Subject("agent", agent))
    if user is not None:
        found.append(Subject("user", user))
    if team is not None:
        found.append(Subject("team", team))
    return found


def of_hop(hop: Hop, registry: Registry) -> list[Subject]:
    """Whose a call is. A team is the calling agent's; that of the person where no agent calls."""
    user = None if hop.user is None else hop.user.sub
    found = known_before_reading(hop.route, hop.agent, user, registry)
    if hop.call.action != "invokeTool":
        return found
    name = hop.call.resource.id
    tool = registry.tool(*name.split("/", 1)) if "/" in name else None
    if tool is None:
        # Nobody registered it, so no name that a caller made up is kept.
        return found
    found.append(Subject("tool", name))
    if hop.agent is not None:
        found.append(Subject("agent_tool", hop.agent, name))
        if tool.destructive:
            found.append(Subject("agent_destructive", hop.agent))
    if user is not None:
        found.append(Subject("user_tool", user, name))
    return found


def _team(agent: str | None, user: str | None, registry: Registry) -> str | None:
    if agent is not None:
        known = registry.agents.get(agent)
        return None if known is None else known.team
    person = None if user is None else registry.people.get(user)
    return None if person is None else person.team
