"""A company with known rules, and the traffic that they let through: what recommendations are measured against.

Everything follows from the seed. Rules are drawn from a grammar of the kind that people write: who (team, class, group,
capability, risk, environment), what (tool set, server, capability, read-only or not, risk), for whom, and relations of
agent and tool. Traffic is a sample of what they permit: agents that rest, agents that come and go with the month,
tools that few want, calls made once, and calls that the rules don't intend.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.core.model import SpiffeId
from gateway.core.policy.recommend_terms import Profile
from gateway.core.registry import RISK, Agent, Person, Registry, RiskLevel, Server, Tool, Upstream

TEAMS = ("finance", "support", "platform", "data", "sales", "legal", "security", "people")
CLASSES = ("assistant", "analyst", "coder", "monitor", "scheduler", "researcher", "reporter", "operator")
CAPABILITIES = ("read", "write", "search", "report", "ticket", "deploy", "query", "mail", "payments", "audit")
ROLES = ("analyst", "engineer", "lead", "manager", "support", "contractor")
ENVIRONMENTS = ("production", "staging", "development")
RISKS: tuple[RiskLevel, ...] = ("low", "medium", "high")
DAYS = 30


@dataclass(frozen=True)
class Noise:
    """How far traffic is from what the rules permit."""

    coverage: float
    """Mean share of what an active agent may use that it uses at least once."""
    idle: float
    """Share of agents that make no call."""
    stray: float
    """Calls that the rules don't intend, as a share of the used requests; each once or twice."""


NOISE = {
    "calm": Noise(coverage=0.6, idle=0.05, stray=0.0),
    "usual": Noise(coverage=0.4, idle=0.15, stray=0.005),
    "rough": Noise(coverage=0.25, idle=0.3, stray=0.02),
}
Fits = Callable[[Agent, Tool, Server], bool]


@dataclass(frozen=True)
class Rule:
    """One true rule."""

    text: str
    agent: Callable[[Agent], bool]
    tool: Callable[[Tool], bool]
    pair: Callable[[Agent, Tool], bool]
    user: Callable[[Profile], bool]

    def permits(self, agent: Agent, tool: Tool) -> bool:
        """For some user."""
        return self.agent(agent) and self.tool(tool) and self.pair(agent, tool)


@dataclass(frozen=True)
class Called:
    """A request that was made: how often, and on which days."""

    agent: str
    tool: Tool
    user: str
    calls: int
    days: tuple[int, ...]
    stray: bool


@dataclass(frozen=True)
class Company:
    """The registry, the people by id, the true rules and the traffic."""

    registry: Registry
    people: dict[str, Profile]
    rules: tuple[Rule, ...]
    traffic: tuple[Called, ...]

    def permitted(self, agent: Agent, tool: Tool) -> list[Rule]:
        return [rule for rule in self.rules if rule.permits(agent, tool)]


def company(seed: int, agents: int = 1_000, noise: Noise = NOISE["usual"], shape: str = "attributes") -> Company:
    """The company of a seed. ``shape``: ``attributes``, or ``lists`` for rules that no attribute tells."""
    draw = random.Random(seed)
    servers = {server.name: server for server in _servers(draw)}
    known = {agent.name: agent for agent in (_agent(draw, number) for number in range(agents))}
    people = _people(draw, max(agents // 5, 40))
    registry = Registry(
        people={person.id: person for person in people},
        agents=known,
        servers=servers,
        models={},
        teams=frozenset(TEAMS),
        by_spiffe_id={agent.spiffe_id: agent.name for agent in known.values()},
        by_audience={},
    )
    profiles = {each.id: Profile(each.roles, each.groups, each.team or "") for each in people}
    rules = tuple(_rules(draw, registry, profiles, shape))
    return Company(registry, profiles, rules, tuple(_traffic(draw, registry, profiles, rules, noise)))


def _agent(draw: random.Random, number: int) -> Agent:
    team = draw.choices(TEAMS, (5, 5, 4, 4, 3, 2, 2, 2))[0]
    kind = draw.choice([CLASSES[(TEAMS.index(team) + step) % 8] for step in (0, 1, 3)])
    usual = [CAPABILITIES[(CLASSES.index(kind) * 3 + step) % 10] for step in range(3)]
    return Agent(
        name=f"agent-{number:04}",
        spiffe_id=SpiffeId(f"spiffe://company.test/agent/{number:04}"),
        owner=f"corp|{team}-lead",
        team=team,
        purpose="work",
        capabilities=tuple(sorted({*draw.sample(usual, draw.randint(1, 3)), draw.choice(CAPABILITIES)})),
        risk_level=draw.choices(RISKS, (55, 32, 13))[0],
        environment=draw.choices(ENVIRONMENTS, (60, 25, 15))[0],
        groups=tuple(
            sorted(
                name
                for name, share in (
                    (f"{team}-agents", 0.85),
                    ("night-shift", 0.25),
                    ("pilots", 0.1),
                    (f"{kind}-group", 0.7),
                )
                if draw.random() < share
            )
        ),
        classes=(kind,),
        entry_point=draw.random() < 0.2,
    )


def _servers(draw: random.Random) -> Iterator[Server]:
    for team in TEAMS:
        for number in range(draw.randint(3, 5)):
            name = f"{team}-{number}"
            environment = draw.choices(ENVIRONMENTS, (65, 20, 15))[0]
            tools = [_tool(draw, team, name, environment, index) for index in range(draw.randint(3, 7))]
            yield Server(
                name=name,
                team=team,
                environment=environment,
                sets=("internal",) if draw.random() < 0.5 else (),
                upstream=Upstream("https://127.0.0.1:1/", None),
                tools={tool.name: tool for tool in tools},
            )


def _tool(draw: random.Random, team: str, server: str, environment: str, index: int) -> Tool:
    read_only = draw.random() < 0.55
    destructive = not read_only and draw.random() < 0.5
    weights = (70, 25, 5) if read_only else (20, 40, 40) if destructive else (40, 45, 15)
    sets = [f"{team}-{'read' if read_only else 'write'}"]
    sets += [name for name in ("reporting", "customer-data", "operations") if draw.random() < 0.15]
    return Tool(
        server=server,
        name=f"tool-{index}",
        risk_level=draw.choices(RISKS, weights)[0],
        environment=environment,
        read_only=read_only,
        destructive=destructive,
        open_world=draw.random() < 0.3,
        capabilities=tuple(sorted(draw.sample(CAPABILITIES, draw.randint(1, 2)))),
        sets=tuple(sets),
        scopes=(f"{server}/tool-{index}",),
    )


def _people(draw: random.Random, count: int) -> list[Person]:
    found = [_person(f"{team}-lead", team, ("lead",), (f"{team}-people",)) for team in TEAMS]
    for number in range(count):
        team = draw.choice(TEAMS)
        roles = tuple(sorted(set(draw.choices(ROLES, (30, 25, 10, 10, 15, 10), k=draw.choice((1, 1, 2))))))
        groups = tuple(
            sorted(name for name, share in ((f"{team}-people", 0.9), ("on-call", 0.15)) if draw.random() < share)
        )
        found.append(_person(f"p{number:03}", team, roles, groups))
    return found


def _person(subject: str, team: str, roles: tuple[str, ...], groups: tuple[str, ...]) -> Person:
    issuer = "https://login.company.test"
    return Person(
        id=f"corp|{subject}", issuer=issuer, subject=subject, name=subject, roles=roles, groups=groups, team=team
    )


def _rules(draw: random.Random, registry: Registry, people: dict[str, Profile], shape: str) -> Iterator[Rule]:
    """Between 16 and 22 rules of a sensible size."""
    agents = list(registry.agents.values())
    tools = [tool for server in registry.servers.values() for tool in server.tools.values()]
    wanted, found, all_pairs = draw.randint(16, 22), 0, len(agents) * len(tools)
    while found < wanted:
        rule = _drawn(draw, registry) if shape == "attributes" else _listed(draw, agents, tools, found)
        some = [agent for agent in agents if rule.agent(agent)]
        things = [tool for tool in tools if rule.tool(tool)]
        if len(some) < max(len(agents) // 100, 6) or len(things) < 2:
            continue
        size = sum(rule.pair(agent, tool) for agent in some for tool in things)
        if not all_pairs // 2_500 <= size <= all_pairs // 16 or not any(map(rule.user, people.values())):
            continue
        found += 1
        yield rule


def _drawn(draw: random.Random, registry: Registry) -> Rule:
    team = draw.choice(TEAMS)
    who = _who(draw, team)
    what = _what(draw, team, registry)
    relation = draw.choices(_RELATIONS(registry), (66, 12, 9, 7, 6))[0]
    person = _whom(draw, team)
    texts = [text for text, _ in (*who, *what, relation, person) if text]
    return Rule(
        " && ".join(texts),
        lambda agent: all(fits(agent) for _, fits in who),
        lambda tool: all(fits(tool) for _, fits in what),
        relation[1],
        person[1],
    )


def _who(draw: random.Random, team: str) -> list[tuple[str, Callable[[Agent], bool]]]:
    kind, group, capability = draw.choice(CLASSES), f"{team}-agents", draw.choice(CAPABILITIES)
    shared = draw.choice(("night-shift", f"{kind}-group"))
    environment = draw.choices(ENVIRONMENTS, (60, 25, 15))[0]
    first = draw.choices(
        (
            (f"agent.team={team}", lambda agent: agent.team == team),
            (f"agent.class={kind}", lambda agent: kind in agent.classes),
            (f"agent.group={group}", lambda agent: group in agent.groups),
            (f"agent.group={shared}", lambda agent: shared in agent.groups),
            (f"agent.capability={capability}", lambda agent: capability in agent.capabilities),
            ("", lambda _: True),
        ),
        (30, 20, 20, 8, 17, 5),
    )[0]
    second = draw.choices(
        (
            ("", lambda _: True),
            ("agent.risk=low", lambda agent: agent.risk_level == "low"),
            ("agent.risk<=medium", lambda agent: RISK[agent.risk_level] <= 2),
            (f"agent.environment={environment}", lambda agent: agent.environment == environment),
            (f"agent.capability={capability}", lambda agent: capability in agent.capabilities),
            (f"agent.class={kind}", lambda agent: kind in agent.classes),
        ),
        (35, 15, 20, 12, 10, 8),
    )[0]
    return [first, second]


def _what(draw: random.Random, team: str, registry: Registry) -> list[tuple[str, Callable[[Tool], bool]]]:
    server = draw.choice([server.name for server in registry.servers.values() if server.team == team])
    name = draw.choice((f"{team}-read", f"{team}-read", f"{team}-write", "reporting", "customer-data", "operations"))
    capability, environment = draw.choice(CAPABILITIES), draw.choices(ENVIRONMENTS, (65, 20, 15))[0]
    first = draw.choices(
        (
            (f"tool.set={name}", lambda tool: name in tool.sets),
            (f"tool.team={team}", lambda tool: registry.servers[tool.server].team == team),
            (f"tool.server={server}", lambda tool: tool.server == server),
            (f"tool.capability={capability}", lambda tool: capability in tool.capabilities),
        ),
        (45, 25, 15, 15),
    )[0]
    second = draw.choices(
        (
            ("", lambda _: True),
            ("tool.read_only", lambda tool: tool.read_only),
            ("!tool.destructive", lambda tool: not tool.destructive),
            ("tool.risk=low", lambda tool: tool.risk_level == "low"),
            ("tool.risk<=medium", lambda tool: RISK[tool.risk_level] <= 2),
            (f"tool.environment={environment}", lambda tool: tool.environment == environment),
        ),
        (35, 20, 15, 10, 10, 10),
    )[0]
    return [first, second]


def _RELATIONS(registry: Registry) -> tuple[tuple[str, Callable[[Agent, Tool], bool]], ...]:  # noqa: N802
    return (
        ("", lambda _, __: True),
        ("tool.team=agent.team", lambda agent, tool: registry.servers[tool.server].team == agent.team),
        ("agent.environment=tool.environment", lambda agent, tool: agent.environment == tool.environment),
        ("agent.risk>=tool.risk", lambda agent, tool: RISK[agent.risk_level] >= RISK[tool.risk_level]),
        ("a shared capability", lambda agent, tool: bool({*agent.capabilities} & {*tool.capabilities})),
    )


def _whom(draw: random.Random, team: str) -> tuple[str, Callable[[Profile], bool]]:
    role = draw.choice(ROLES)
    found: tuple[str, Callable[[Profile], bool]] = draw.choices(
        (
            ("", lambda _: True),
            (f"user.role={role}", lambda user: role in user.roles),
            (f"user.group={team}-people", lambda user: f"{team}-people" in user.groups),
            (f"user.team={team}", lambda user: user.team == team),
        ),
        (66, 20, 8, 6),
    )[0]
    return found


def _listed(draw: random.Random, agents: list[Agent], tools: list[Tool], number: int) -> Rule:
    """A rule that names a handful of agents and tools which nothing else has in common."""
    who = frozenset(agent.name for agent in draw.sample(agents, max(len(agents) // 40, 8)))
    what = frozenset(tool.uid for tool in draw.sample(tools, 5))
    return Rule(
        f"list {number}",
        lambda agent: agent.name in who,
        lambda tool: tool.uid in what,
        lambda _, __: True,
        lambda _: True,
    )


def _traffic(
    draw: random.Random, registry: Registry, people: dict[str, Profile], rules: tuple[Rule, ...], noise: Noise
) -> Iterator[Called]:
    tools = [tool for server in registry.servers.values() for tool in server.tools.values()]
    popular = {tool.uid: draw.lognormvariate(0, 0.7) for tool in tools}
    names = sorted(people)
    by_team = {team: [name for name in names if people[name].team == team] for team in TEAMS}
    active = [agent for agent in registry.agents.values() if draw.random() >= noise.idle]
    used = 0
    for agent in active:
        days = _days(draw)
        keen = noise.coverage * draw.lognormvariate(-0.125, 0.5)
        mine = [rule for rule in rules if rule.agent(agent)]
        for tool in tools:
            fitting = [rule for rule in mine if rule.tool(tool) and rule.pair(agent, tool)]
            if not fitting or draw.random() >= min(keen * popular[tool.uid], 0.97):
                continue
            for name in _asking(draw, names, by_team[agent.team]):
                if any(rule.user(people[name]) for rule in fitting):
                    used += 1
                    calls = 1 if draw.random() < 0.3 else min(int(draw.paretovariate(0.9)) + 1, 400)
                    when = tuple(sorted(draw.choice(days) for _ in range(min(calls, 12))))
                    yield Called(agent.name, tool, name, calls, when, stray=False)
    for _ in range(int(noise.stray * used)):
        agent, tool, name = draw.choice(active), draw.choice(tools), draw.choice(names)
        if not any(rule.permits(agent, tool) and rule.user(people[name]) for rule in rules):
            when = (draw.randrange(DAYS),)
            yield Called(agent.name, tool, name, draw.choice((1, 1, 2)), when, stray=True)


def _asking(draw: random.Random, names: list[str], colleagues: list[str]) -> list[str]:
    """Who may want it of the agent: half of the time people of its own team."""
    count = min(int(draw.paretovariate(0.8)) + 1, 12)
    return sorted({draw.choice(colleagues if draw.random() < 0.5 and colleagues else names) for _ in range(count)})


def _days(draw: random.Random) -> list[int]:
    """Days on which an agent works: most always, some at the month's end, some only lately."""
    kind = draw.random()
    if kind < 0.08:
        return list(range(25, DAYS))
    if kind < 0.16:
        return list(range(draw.randint(5, 24), DAYS))
    return list(range(DAYS))
