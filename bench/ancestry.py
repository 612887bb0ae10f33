"""How often live ancestry suspects honest agents: a working day of a company, simulated call by call.

Every call is decided on by ``core.delegation`` and ``core.ancestry`` as the gateway would; only the store is a
dictionary. Nobody attacks: each call that looks deeper than it is, is a false positive. Same seed, same figures.
"""

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from gateway.core import ancestry, delegation
from gateway.core.ancestry import Participation
from gateway.core.limits import Limits
from gateway.core.model import Call, Chain, Hop, HopToken, RootToken, Route, SpiffeId, Uid, User
from gateway.core.registry import Agent, Registry, Upstream

HOUR = 3600
DAY_SECONDS = 8 * HOUR
TOKEN_SECONDS = HOUR
DEPTHS = (2, 3, 4)
"""Policies ``delegation_depth <= N`` that the figures are of."""
FRONTS, BOTH, DELEGATES = ("copilot", "desk", "mailer"), ("analyst", "researcher", "writer"), ("fetcher", "indexer")
"""Entry points that nobody delegates to; entry points that others delegate to as well; agents that begin nothing."""


class Scenario(NamedTuple):
    """What a day is like."""

    name: str
    direct: float = 0.2
    """Part of a person's tasks that is given to an agent of ``BOTH`` itself."""
    root_ttl_seconds: int = 900
    jobs_minutes: int = 0
    """Pause between two scheduled jobs, without a user, of each agent of ``BOTH``; 0: there are none."""
    burst_minutes: float = 20
    """Mean pause of a person between two bursts of tasks."""
    users: int = 40


SCENARIOS = (
    Scenario("usual"),
    Scenario("seldom direct", direct=0.05),
    Scenario("often direct", direct=0.5),
    Scenario("short chains", root_ttl_seconds=300),
    Scenario("long chains", root_ttl_seconds=3600),
    Scenario("busy people", burst_minutes=5),
    Scenario("with jobs", jobs_minutes=10),
)


@dataclass
class Figures:
    """Calls that begin a chain or go on in one that the caller began; ``raised`` by what policies saw."""

    fronts: int = 0
    both: int = 0
    jobs: int = 0
    raised: Counter[int] = field(default_factory=Counter)
    """Calls for a user."""
    raised_jobs: Counter[int] = field(default_factory=Counter)
    delegations: int = 0


def agent(name: str) -> Agent:
    """A registered agent; those that can be delegated to have an upstream."""
    spiffe_id = SpiffeId(f"spiffe://company.example/agent/{name}")
    entry = name in FRONTS + BOTH
    return Agent(
        name=name,
        spiffe_id=spiffe_id,
        owner="corp|owner",
        team="t",
        purpose="p",
        risk_level="low",
        environment="production",
        scopes=("x",),
        entry_point=entry,
        clients=("app",) if entry else (),
        upstream=None if name in FRONTS else Upstream(f"https://{name}.example/", spiffe_id),
    )


AGENTS = {name: agent(name) for name in FRONTS + BOTH + DELEGATES}
REGISTRY = Registry(
    people={},
    agents=AGENTS,
    servers={},
    models={},
    teams=frozenset({"t"}),
    by_spiffe_id={each.spiffe_id: name for name, each in AGENTS.items()},
    by_audience={f"https://gw/a2a/{name}": name for name, each in AGENTS.items() if each.upstream is not None},
)


class Day:
    """One day: who is in which chain, and what became of each call."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.figures = Figures()
        self._scenario = scenario
        self._random = random.Random(f"{seed} {scenario}")
        self._limits = Limits(root_ttl_seconds=scenario.root_ttl_seconds)
        self._roots: dict[tuple[str, str], Chain] = {}
        self._live: dict[SpiffeId, dict[tuple[str, str], Participation]] = {}
        self._number = 0

    def run(self) -> Figures:
        """All tasks of the day, in the order of their beginnings."""
        for at, _, task in sorted(self._plan(), key=lambda each: each[:2]):
            task(at)
        return self.figures

    def _plan(self) -> Iterator[tuple[int, int, Callable[[int], None]]]:
        draw = self._random
        for number in range(self._scenario.users):
            user = User("https://idp.example", "corp", f"user{number}")
            at = draw.expovariate(1 / (60 * self._scenario.burst_minutes))
            while at < DAY_SECONDS:
                for _ in range(draw.randint(1, 6)):
                    yield self._planned(at, partial(self._task, user))
                    at += draw.uniform(5, 60)
                at += draw.expovariate(1 / (60 * self._scenario.burst_minutes))
        for name in BOTH if self._scenario.jobs_minutes else ():
            for at in range(draw.randrange(60), DAY_SECONDS, 60 * self._scenario.jobs_minutes):
                yield self._planned(at, partial(self._job, AGENTS[name]))

    def _planned(self, at: float, task: Callable[[int], None]) -> tuple[int, int, Callable[[int], None]]:
        self._number += 1
        return int(at), self._number, task

    def _task(self, user: User, now: int) -> None:
        """A person asks an agent something: it calls tools, and half of the time others."""
        draw = self._random
        entry = AGENTS[draw.choice(BOTH if draw.random() < self._scenario.direct else FRONTS)]
        for _ in range(draw.randint(1, 4)):
            chain = self._begun(entry, self._root(entry, user, now), now)
            self._count(entry, chain)
            if draw.random() < 0.5:
                self._delegate(chain, entry, user, now)
            now += draw.randint(1, 15)

    def _job(self, entry: Agent, now: int) -> None:
        chain = delegation.begin_without_user(entry, self._id("job"), now, self._limits)
        for _ in range(3):
            chain = self._begun(entry, chain, now)
            self.figures.jobs += 1
            if chain.live is not None:
                self.figures.raised_jobs[ancestry.seen_depth(chain, REGISTRY)] += 1

    def _root(self, entry: Agent, user: User, now: int) -> Chain:
        """The chain of the token that the person's client holds for the agent; a fresh one when it is over."""
        known = self._roots.get((entry.name, user.sub))
        if known is None or now >= known.root_expires:
            root = RootToken(user, "app", frozenset({"x"}), now + TOKEN_SECONDS, self._id("token"))
            binding = delegation.proposed_binding(entry, root, self._id("txn"), now, self._limits)
            known = delegation.begin(entry, root, binding, now, self._limits)
            self._roots[entry.name, user.sub] = known
        return known

    def _begun(self, entry: Agent, chain: Chain, now: int) -> Chain:
        if entry.upstream is None:
            return chain
        of, rows = ancestry.suspects(chain), self._live.get(entry.spiffe_id, {})
        for key in [key for key, part in rows.items() if part.root_expires <= now]:
            del rows[key]
        return ancestry.begun(replace(chain, live=None), [part for part in rows.values() if of in (None, part.sub)])

    def _count(self, entry: Agent, chain: Chain) -> None:
        if entry.name in FRONTS:
            self.figures.fronts += 1
        else:
            self.figures.both += 1
        if chain.live is not None:
            self.figures.raised[ancestry.seen_depth(chain, REGISTRY)] += 1

    def _delegate(self, chain: Chain, caller: Agent, user: User, now: int) -> None:
        """On to another agent, and with luck from there: a delegation in three goes one further."""
        draw = self._random
        name = draw.choice([each for each in BOTH + DELEGATES if AGENTS[each].spiffe_id not in chain.actors])
        audience = f"https://gw/a2a/{name}"
        route = Route("a2a", name, f"/a2a/{name}", audience, audience)
        call = Call(protocol="a2a", version="1", method="m", action="delegate", resource=Uid("Agent", name), message={})
        hop = Hop("h", route, None, caller.name, user, call, chain, now * 1000)
        part = ancestry.delegated(hop, REGISTRY)
        if part is None:
            raise RuntimeError(f"{name} can't be delegated to")
        rows = self._live.setdefault(part.agent, {})
        rows[part.sub, part.txn] = max(part, rows.get((part.sub, part.txn), part), key=lambda each: each.depth)
        self.figures.delegations += 1
        if draw.random() < 1 / 3 and chain.depth < 4:
            delegate = AGENTS[name]
            self._delegate(delegation.resume(delegate, _token(hop), route, REGISTRY, now), delegate, user, now)

    def _id(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}"


def _token(hop: Hop) -> HopToken:
    """What the gateway would mint for the hop, verified again."""
    chain = hop.chain
    return HopToken(
        sub=chain.sub,
        audience=hop.route.audience,
        actors=chain.actors,
        txn=chain.txn,
        ceiling=chain.ceiling,
        depth=chain.depth,
        max_depth=chain.max_depth,
        root_expires=chain.root_expires,
        expires=chain.root_expires,
        digest=f"digest of {chain.txn} at {chain.depth}",
        user=hop.user,
    )


def row(scenario: Scenario, seed: int) -> str:
    """One line of the table."""
    found = Day(scenario, seed).run()
    raised = found.raised.total()
    refused = [sum(count for seen, count in found.raised.items() if seen > most) for most in DEPTHS]
    jobs = f"{_part(found.raised_jobs.total(), found.jobs)} of {found.jobs}" if found.jobs else "none"
    cells = [
        scenario.name,
        str(found.fronts),
        str(found.both),
        _part(raised, found.both),
        *(_part(each, found.both) for each in refused),
        _part(refused[DEPTHS.index(3)], found.fronts + found.both),
        jobs,
    ]
    return f"| {' | '.join(cells)} |"


def table(seed: int = 1) -> str:
    """All scenarios as a table in Markdown."""
    refused = " | ".join(f"over {most}" for most in DEPTHS)
    head = f"| day | calls of fronts | calls of both | raised | {refused} | over 3, of all | jobs raised |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|---|", *(row(each, seed) for each in SCENARIOS)])


def _part(some: int, whole: int) -> str:
    return f"{100 * some / whole:.1f} %"


if __name__ == "__main__":
    sys.stdout.write(table(int(sys.argv[1]) if len(sys.argv) > 1 else 1) + "\n")
