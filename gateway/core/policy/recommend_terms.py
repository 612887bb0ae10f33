"""The conditions that a recommended policy may be made of, and what of a population meets each of them.

A term is one clause of a policy: about the agent, the tool, both, the user, or agent and user. A ``Space`` is a
population of agents, tools and kinds of users with, for every term, the requests that meet it. Requests are bits of
Python integers, so that a conjunction is ``&`` and a count is ``bit_count``. Judges nothing.

Not terms: names of agents, tools and people, free text (``purpose``, tags), chains, arguments and time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from gateway.core.model import Uid
from gateway.core.policy.render import quoted
from gateway.core.registry import RISK, Agent, Registry, Server, Tool

Side = Literal["agent", "tool", "pair", "user", "link"]
"""``pair``: agent and tool together; ``link``: agent and user together."""


class Term(Struct, frozen=True, order=True):
    """One condition. Terms with the same ``attribute`` are values of the same thing."""

    side: Side
    attribute: str
    """What it is about, for people: ``principal.risk_level``."""
    text: str
    """The Cedar expression."""
    scope: str = ""
    """The entity that principal or resource is ``in``, as Cedar writes it; empty for other conditions."""


class Profile(Struct, frozen=True, order=True):
    """All that a policy may read of a user but who it is."""

    roles: tuple[str, ...]
    groups: tuple[str, ...]
    team: str = ""
    """Empty: not a registered person, or one without a team."""


Who = Profile | None
"""None: the call is for no user."""
HAS_USER = Term("user", "context.user", "context has user")
OWN_TEAM = Term("pair", "resource in principal.team", "resource in principal.team")
SAME_ENVIRONMENT = Term(
    "pair", "principal.environment == resource.environment", "principal.environment == resource.environment"
)
AT_LEAST_AS_RISKY = Term("pair", "principal.risk >= resource.risk", "principal.risk >= resource.risk")
SHARED_CAPABILITY = Term(
    "pair",
    "principal.capabilities.containsAny(resource.capabilities)",
    "principal.capabilities.containsAny(resource.capabilities)",
)
USERS_OF_TEAM = Term("link", "context.user in principal.team", "context has user && context.user in principal.team")


def agent_terms(agent: Agent) -> Iterator[Term]:
    """The terms that an agent meets."""
    yield _within("agent", "principal", Uid("Team", agent.team))
    for name in agent.classes:
        yield _within("agent", "principal", Uid("AgentClass", name))
    for name in agent.groups:
        yield _within("agent", "principal", Uid("Group", name))
    yield from _attributes("agent", "principal", agent)
    if agent.entry_point:
        yield Term("agent", "principal.entry_point", "principal.entry_point")


def tool_terms(tool: Tool, server: Server) -> Iterator[Term]:
    """The terms that a tool meets."""
    yield _within("tool", "resource", Uid("Team", server.team))
    yield _within("tool", "resource", server.uid)
    for name in server.sets:
        yield _within("tool", "resource", Uid("ServerSet", name))
    for name in tool.sets:
        yield _within("tool", "resource", Uid("ToolSet", name))
    yield from _attributes("tool", "resource", tool)
    for name in ("read_only", "destructive", "open_world"):
        yield flag("resource", name, value=getattr(tool, name))


def user_terms(who: Who, groups: frozenset[str]) -> Iterator[Term]:
    """The terms that a user meets. ``groups`` are those that policies may name."""
    if who is None:
        return
    yield HAS_USER
    for role in who.roles:
        yield _of_user("context.user.roles", f"context.user.roles.contains({quoted(role)})")
    for group in who.groups:
        if group in groups:
            yield _of_user("context.user in Group", f"context.user in {Uid('Group', group)}")
    if who.team:
        yield _of_user("context.user in Team", f"context.user in {Uid('Team', who.team)}")


def risk_at_most(var: str, risk: int) -> Term:
    """``principal.risk <= 2`` or ``resource.risk <= 2``."""
    return Term(_SIDES[var], f"{var}.risk", f"{var}.risk <= {risk}")


def flag(var: str, name: str, *, value: bool) -> Term:
    """``resource.read_only`` or ``!resource.read_only``."""
    return Term(_SIDES[var], f"{var}.{name}", f"{var}.{name}" if value else f"!{var}.{name}")


def one_of(var: str, attribute: str, values: Sequence[str]) -> Term:
    """``["production"].contains(principal.environment)``, as ``==`` where there is one value."""
    path = f"{var}.{attribute}"
    if len(values) == 1:
        return Term(_SIDES[var], path, f"{path} == {quoted(values[0])}")
    return Term(_SIDES[var], path, f"[{', '.join(map(quoted, values))}].contains({path})")


_SIDES: Mapping[str, Side] = {"principal": "agent", "resource": "tool"}


def _within(side: Side, var: str, uid: Uid) -> Term:
    return Term(side, f"{var} in {uid.type}", f"{var} in {uid}", str(uid))


def _of_user(attribute: str, text: str) -> Term:
    return Term("user", attribute, f"context has user && {text}")


def _attributes(side: Side, var: str, item: Agent | Tool) -> Iterator[Term]:
    for name in item.capabilities:
        yield Term(side, f"{var}.capabilities", f"{var}.capabilities.contains({quoted(name)})")
    yield one_of(var, "environment", (item.environment,))
    risk = RISK[item.risk_level]
    yield Term(side, f"{var}.risk_level", f"{var}.risk_level == {quoted(item.risk_level)}")
    if risk <= RISK["medium"]:
        yield risk_at_most(var, RISK["medium"])
    if risk >= RISK["medium"]:
        yield Term(side, f"{var}.risk", f"{var}.risk >= {RISK['medium']}")


class Space:
    """A population: every request of an agent for a tool is a bit, every kind of user another.

    The request of agent ``a`` for tool ``t`` is bit ``a * width + t``.
    """

    def __init__(
        self, registry: Registry, agents: Iterable[Agent], tools: Iterable[Tool], users: Iterable[Who]
    ) -> None:
        self.agents = tuple(sorted(agents, key=lambda agent: agent.name))
        self.tools = tuple(sorted(tools, key=lambda tool: tool.uid))
        self.users = tuple(sorted(users, key=lambda who: (who is not None, who or Profile((), ()))))
        self.width = (len(self.tools) + 7) // 8 * 8
        """Bits of an agent's requests: whole bytes, so that they are cut out quickly."""
        self.all = self.rows(lambda _, __: (1 << len(self.tools)) - 1)
        self.all_users = (1 << len(self.users)) - 1
        groups = {name for agent in registry.agents.values() for name in agent.groups}
        groups |= {name for person in registry.people.values() for name in person.groups}
        self.of_agent = tuple(frozenset(agent_terms(agent)) for agent in self.agents)
        self.of_tool = tuple(frozenset(tool_terms(tool, registry.servers[tool.server])) for tool in self.tools)
        self.of_user = tuple(frozenset(user_terms(who, frozenset(groups))) for who in self.users)
        self.tool_masks = _masks(self.of_tool)
        self.user_masks = _masks(self.of_user)
        self._registry = registry
        self.cells = self._cells()
        self.relations = {term: self.cut(self.cells.get(term, 0)) for term in RELATIONS}
        """By relation and agent: the tools."""
        self.links = tuple(self._link(agent) for agent in self.agents)
        """By agent: the users of its team."""
        self.colleagues = self._colleagues()
        """Users of a team, and the requests of its agents."""

    def cell(self, agent: int, tool: int) -> int:
        """The position of a request."""
        return agent * self.width + tool

    def place(self, cell: int) -> tuple[int, int]:
        """Positions of agent and tool."""
        return divmod(cell, self.width)

    def meeting(self, term: Term) -> int:
        """The requests that meet a term of agent, tool or both: also one that no request of another space meets."""
        known = self.cells.get(term)
        if known is None:
            bound = BOUNDS.get(term.attribute)
            if bound is None:
                return 0
            every = (1 << len(self.tools)) - 1
            if term.side == "agent":
                return self.rows(lambda _, agent: every if bound(agent, term.text) else 0)
            row = _row(self.tools, lambda tool: bound(tool, term.text))
            return self.rows(lambda _, __: row)
        return known

    def rows(self, row: Callable[[int, Agent], int]) -> int:
        """The requests that ``row`` gives for each agent, as bits of tools."""
        size = self.width // 8
        return int.from_bytes(
            b"".join(row(index, agent).to_bytes(size, "little") for index, agent in enumerate(self.agents)), "little"
        )

    def cut(self, cells: int) -> list[int]:
        """The requests of each agent, as bits of tools."""
        size = self.width // 8
        data = cells.to_bytes(size * len(self.agents), "little")
        return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]

    def terms_at(self, agent: int, tool: int, user: int) -> frozenset[Term]:
        """Every term that one request meets."""
        at = 1 << self.cell(agent, tool)
        pairs = {term for term in RELATIONS if self.cells.get(term, 0) & at}
        link = {USERS_OF_TEAM} if self.links[agent] >> user & 1 else set[Term]()
        return self.of_agent[agent] | self.of_tool[tool] | self.of_user[user] | pairs | link

    def _cells(self) -> dict[Term, int]:
        every = (1 << len(self.tools)) - 1
        found = {
            term: self.rows(lambda index, _, term=term: every if term in self.of_agent[index] else 0)  # type: ignore[misc]
            for term in sorted(frozenset[Term]().union(*self.of_agent))
        }
        for term, mask in self.tool_masks.items():
            found[term] = self.rows(lambda _, __, mask=mask: mask)  # type: ignore[misc]
        for term, row in RELATIONS.items():
            found[term] = self.rows(lambda _, agent, row=row: row(agent, self.tools, self._registry))  # type: ignore[misc]
        return {term: mask for term, mask in found.items() if mask}

    def _colleagues(self) -> tuple[tuple[int, int], ...]:
        every = (1 << len(self.tools)) - 1
        return tuple(
            (users, self.rows(lambda index, _, users=users: every if self.links[index] == users else 0))  # type: ignore[misc]
            for users in sorted(set(self.links))
        )

    def _link(self, agent: Agent) -> int:
        return sum(1 << index for index, who in enumerate(self.users) if who is not None and who.team == agent.team)


def _masks(known: Sequence[frozenset[Term]]) -> dict[Term, int]:
    found: dict[Term, int] = {}
    for index, terms in enumerate(known):
        for term in terms:
            found[term] = found.get(term, 0) | 1 << index
    return {term: found[term] for term in sorted(found)}


def _row(tools: Sequence[Tool], holds: Callable[[Tool], bool]) -> int:
    return sum(1 << index for index, tool in enumerate(tools) if holds(tool))


def _own_team(agent: Agent, tools: Sequence[Tool], registry: Registry) -> int:
    return _row(tools, lambda tool: registry.servers[tool.server].team == agent.team)


def _same_environment(agent: Agent, tools: Sequence[Tool], registry: Registry) -> int:
    return _row(tools, lambda tool: tool.environment == agent.environment)


def _at_least_as_risky(agent: Agent, tools: Sequence[Tool], registry: Registry) -> int:
    return _row(tools, lambda tool: RISK[tool.risk_level] <= RISK[agent.risk_level])


def _shared_capability(agent: Agent, tools: Sequence[Tool], registry: Registry) -> int:
    mine = frozenset(agent.capabilities)
    return _row(tools, lambda tool: not mine.isdisjoint(tool.capabilities))


def _is_at_most(item: Agent | Tool, text: str) -> bool:
    return text.endswith(tuple(f"<= {level}" for level in range(RISK[item.risk_level], 4)))


def _is_in(item: Agent | Tool, text: str) -> bool:
    return quoted(item.environment) in text


BOUNDS: Mapping[str, Callable[[Agent | Tool, str], bool]] = {
    "principal.risk": _is_at_most,
    "resource.risk": _is_at_most,
    "principal.environment": _is_in,
    "resource.environment": _is_in,
}
"""Whether an agent or tool meets a bound that isn't among a space's own terms, by attribute."""
RELATIONS: Mapping[Term, Callable[[Agent, Sequence[Tool], Registry], int]] = {
    OWN_TEAM: _own_team,
    SAME_ENVIRONMENT: _same_environment,
    AT_LEAST_AS_RISKY: _at_least_as_risky,
    SHARED_CAPABILITY: _shared_capability,
}
