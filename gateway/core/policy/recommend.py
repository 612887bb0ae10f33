"""Recommends policies by attribute from what was permitted and used: always staged, for people to judge.

Says what each rests on, which conditions were chosen and why, what it would allow that was never seen, and how settled
it is. Where no attribute tells an agent's calls apart it falls back to names, and says so. Decides nothing about calls.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from gateway.core.model import Uid
from gateway.core.policy.recommend_guards import guards
from gateway.core.policy.recommend_phase import Phase, Thresholds, phase_of
from gateway.core.policy.recommend_regions import Region, Use, positions
from gateway.core.policy.recommend_search import covering
from gateway.core.policy.recommend_seen import Request, Seen, Usage
from gateway.core.policy.recommend_terms import HAS_USER, Space, Term, user_terms
from gateway.core.policy.recommend_text import Named, Written, written
from gateway.core.registry import Registry, Tool

MOST_REQUESTS = 8_000_000
"""Agents times tools that are looked at at once: each of some hundred conditions takes that many bits."""


class Chosen(Struct, frozen=True):
    """A condition of a policy, and why it is there."""

    condition: str
    why: str


class Evidence(Struct, frozen=True, kw_only=True):
    """What a recommendation rests on. Times are Unix milliseconds."""

    calls: int
    requests: int
    """Distinct pairs of agent and tool."""
    agents: int
    tools: int
    people: int
    days: int
    first: int
    last: int
    new: float
    """Share of recent calls that are of pairs which were not seen before."""


class Beyond(Struct, frozen=True):
    """What the policy would allow that was not seen."""

    agents: int
    tools: int
    requests: int
    """Pairs of agent and tool."""
    names: tuple[str, ...]
    """Some of the agents."""


class Recommendation(Struct, frozen=True, kw_only=True):
    """One policy, with what speaks for it."""

    id: str
    phase: Phase
    by: Literal["attributes", "names"]
    file: str
    text: str
    terms: tuple[Term, ...]
    """The conditions, bounds too."""
    agent: str | None = None
    tools: tuple[Uid, ...] = ()
    """What it names, where it is by names."""
    chosen: tuple[Chosen, ...]
    evidence: Evidence
    beyond: Beyond


class Recommended(Struct, frozen=True):
    """The recommendations by file and text, and the requests that none of them explains."""

    found: tuple[Recommendation, ...]
    unexplained: int
    """Pairs of agent and tool that were used too little, and by too few, to recommend anything."""


class TooMuchError(Exception):
    """There are more agents and tools than can be looked at together."""


class _Evidence(Struct, frozen=True):
    """The use of a space in both its forms."""

    use: Use
    uses: tuple[tuple[Request, Usage], ...]
    """In the order of ``use.triples``."""

    def of(self, hits: int) -> list[tuple[Request, Usage]]:
        return [self.uses[triple] for triple in positions(hits)]


def recommend(seen: Seen, registry: Registry, thresholds: Thresholds, team: str | None = None) -> Recommended:
    """The policies that ``seen`` speaks for. ``team``: only about the tools of this team.

    Raises:
        TooMuchError: more than MOST_REQUESTS pairs of active agents and tools.
    """
    tools = [
        tool for server in registry.servers.values() if team in (None, server.team) for tool in server.tools.values()
    ]
    active = {request.agent for request in seen.uses}
    if len(active) * len(tools) > MOST_REQUESTS:
        counts = f"{len(active):,} agents that called and {len(tools):,} tools"
        raise TooMuchError(f"{counts} are more than can be looked at together; give --team")
    if not active or not tools:
        return Recommended((), 0)
    space = Space(registry, (registry.agents[name] for name in active), tools, {each.who for each in seen.uses})
    whole = Space(registry, registry.agents.values(), tools, space.users)
    evidence = _evidence(space, seen)
    order = sorted(range(len(evidence.uses)), key=lambda index: (-evidence.uses[index][1].calls, index))
    covered = covering(evidence.use, order, thresholds.caution)
    found = list(_by_attributes(evidence, covered.regions, whole, registry, thresholds))
    named = list(_by_names(evidence, covered.left, registry, thresholds))
    explained = {pair for _, pairs in named for pair in pairs}
    left = {(request.agent, request.tool) for request, _ in evidence.of(covered.left)} - explained
    ordered = sorted((*found, *(each for each, _ in named)), key=lambda each: (each.file, each.by, each.text))
    return Recommended(tuple(ordered), len(left))


def _evidence(space: Space, seen: Seen) -> _Evidence:
    agents = {agent.name: index for index, agent in enumerate(space.agents)}
    tools = {tool.uid: index for index, tool in enumerate(space.tools)}
    users = {who: index for index, who in enumerate(space.users)}
    placed = {
        (space.cell(agents[request.agent], tools[request.tool]), users[request.who]): (request, usage)
        for request, usage in seen.uses.items()
        if request.tool in tools
    }
    use = Use(space, placed)
    return _Evidence(use, tuple(placed[triple] for triple in use.triples))


def _by_attributes(
    evidence: _Evidence, regions: Sequence[Region], whole: Space, registry: Registry, thresholds: Thresholds
) -> Iterator[Recommendation]:
    use = evidence.use
    for region in regions:
        uses = evidence.of(region.hits)
        bounds = (*guards(use, region), *_chain_bounds(uses))
        permitted = allowed(whole, (*region.terms, *bounds))
        if not permitted:
            continue
        agents, tools = use.agents(region.pairs), {request.tool for request, _ in uses}
        beyond = _beyond(whole, permitted, {use.space.agents[agent].name for agent in agents}, tools, uses)
        told = _told(uses, thresholds)
        description = f"From {told.calls:,} permitted calls of {told.agents} agents; for all with these attributes."
        policy = _policy((*region.terms, *bounds), _tools_of(whole, permitted), uses, registry, description)
        chosen = (*_reasons(use, region, regions), *(Chosen(term.text, _BOUND) for term in sorted(bounds)))
        yield Recommendation(
            id=policy.id,
            phase=phase_of(told.calls, told.days, told.new, thresholds),
            by="attributes",
            file=policy.file,
            text=policy.text,
            terms=(*region.terms, *bounds),
            chosen=chosen,
            evidence=told,
            beyond=beyond,
        )


_BOUND = "nothing was seen beyond it"
_NAMED = "no attribute tells these calls apart from others that were not made"


def _by_names(
    evidence: _Evidence, left: int, registry: Registry, thresholds: Thresholds
) -> Iterator[tuple[Recommendation, set[tuple[str, Uid]]]]:
    """What an agent does often enough without anything that explains it, by its name and those of its tools."""
    pairs: dict[tuple[str, str, Uid], list[tuple[Request, Usage]]] = {}
    for request, usage in evidence.of(left):
        team = registry.servers[request.tool.id.partition("/")[0]].team
        pairs.setdefault((request.agent, team, request.tool), []).append((request, usage))
    groups: dict[tuple[str, str], list[tuple[Request, Usage]]] = {}
    for (agent, team, _), uses in pairs.items():
        told = _told(uses, thresholds)
        if told.calls >= thresholds.calls and told.days >= thresholds.days:
            groups.setdefault((agent, team), []).extend(uses)
    for (agent, _), uses in sorted(groups.items()):
        tools = tuple(sorted({request.tool for request, _ in uses}))
        terms = (*_common_users(uses), *_chain_bounds(uses))
        told = _told(uses, thresholds)
        description = f"From {told.calls:,} permitted calls of {agent}; by name, since no attribute tells them apart."
        things = [_registered(registry, tool.id) for tool in tools]
        policy = _policy(terms, things, uses, registry, description, Named(registry.agents[agent].uid, tools))
        found = Recommendation(
            id=policy.id,
            phase=phase_of(told.calls, told.days, told.new, thresholds),
            by="names",
            file=policy.file,
            text=policy.text,
            terms=terms,
            agent=agent,
            tools=tools,
            chosen=(Chosen(agent, _NAMED), *(Chosen(term.text, _BOUND) for term in terms)),
            evidence=told,
            beyond=Beyond(0, 0, 0, ()),
        )
        yield found, {(agent, tool) for tool in tools}


def _registered(registry: Registry, name: str) -> Tool:
    server, _, rest = name.partition("/")
    return registry.servers[server].tools[rest]


def _common_users(uses: Sequence[tuple[Request, Usage]]) -> list[Term]:
    """What all the users had in common; nothing where a call was for nobody."""
    everyone = {request.who for request, _ in uses}
    if None in everyone:
        return []
    common = frozenset[Term].intersection(*(frozenset(user_terms(who, frozenset())) for who in everyone))
    return sorted(common | {HAS_USER})


def _chain_bounds(uses: Sequence[tuple[Request, Usage]]) -> list[Term]:
    """The longest chain that was seen, and the riskiest agent of one."""
    depth = max(usage.depth for _, usage in uses)
    risk = max(usage.chain_risk for _, usage in uses)
    found = [Term("pair", "context.delegation_depth", f"context.delegation_depth <= {depth}")]
    if risk < 3:
        found.append(Term("pair", "context.chain_max_risk", f"context.chain_max_risk <= {risk}"))
    return found


def allowed(whole: Space, terms: Sequence[Term]) -> int:
    """The pairs of all registered agents and tools that meet the terms, for some user."""
    found = whole.all
    for term in terms:
        if term.side in ("agent", "tool", "pair") and not term.attribute.startswith("context."):
            found &= whole.meeting(term)
    return found


def _beyond(
    whole: Space, permitted: int, agents: set[str], tools: set[Uid], uses: Sequence[tuple[Request, Usage]]
) -> Beyond:
    pairs = [whole.place(cell) for cell in positions(permitted)]
    names = sorted({whole.agents[agent].name for agent, _ in pairs} - agents)
    things = {whole.tools[tool].uid for _, tool in pairs} - tools
    seen = {(request.agent, request.tool) for request, _ in uses}
    unseen = sum((whole.agents[agent].name, whole.tools[tool].uid) not in seen for agent, tool in pairs)
    return Beyond(len(names), len(things), unseen, tuple(names[:5]))


def _tools_of(whole: Space, permitted: int) -> list[Tool]:
    return [whole.tools[index] for index in sorted({whole.place(cell)[1] for cell in positions(permitted)})]


def _policy(
    terms: Sequence[Term],
    tools: Sequence[Tool],
    uses: Sequence[tuple[Request, Usage]],
    registry: Registry,
    description: str,
    named: Named | None = None,
) -> Written:
    teams = {registry.servers[tool.server].team for tool in tools}
    team = teams.pop() if len(teams) == 1 else None
    return written(terms, team, _owner(team, uses, registry), description, named)


def _owner(team: str | None, uses: Sequence[tuple[Request, Usage]], registry: Registry) -> str:
    """A person of the team; of many teams, whoever answers for most of the calling agents."""
    own = sorted(person.id for person in registry.people.values() if team is not None and person.team == team)
    if own:
        return own[0]
    owners = sorted(registry.agents[name].owner for name in {request.agent for request, _ in uses})
    return max(dict.fromkeys(owners), key=owners.count)


def _reasons(use: Use, region: Region, regions: Sequence[Region]) -> Iterator[Chosen]:
    """What each condition keeps out: requests that nothing else explains, and how many of them were made."""
    others = 0
    for other in regions:
        if other is not region and not any(term.side in ("user", "link") for term in other.terms):
            others |= other.cells
    for term in region.terms:
        wider = use.region(each for each in region.terms if each != term)
        if term.side in ("user", "link"):
            out = use.asked(wider, region.pairs) - use.asked(region, region.pairs)
            made = (wider.hits & ~region.hits).bit_count()
            yield Chosen(term.text, f"of {out:,} requests for other users {made:,} were made")
            continue
        cells = wider.cells & ~region.cells & ~others
        agents, made = len(use.agents(cells)), (cells & use.cells).bit_count()
        kept_out = f"{cells.bit_count():,} requests that {agents:,} agents could have made without it"
        yield Chosen(term.text, f"of {kept_out}, {made:,} were made")


def _told(uses: Sequence[tuple[Request, Usage]], thresholds: Thresholds) -> Evidence:
    first: dict[tuple[str, Uid], int] = {}
    recent: dict[tuple[str, Uid], int] = {}
    for request, usage in uses:
        pair = request.agent, request.tool
        first[pair] = min(first.get(pair, usage.first), usage.first)
        recent[pair] = recent.get(pair, 0) + usage.recent
    lately = sum(recent.values())
    new = sum(count for pair, count in recent.items() if first[pair] >= thresholds.recent_from)
    return Evidence(
        calls=sum(usage.calls for _, usage in uses),
        requests=len(first),
        agents=len({agent for agent, _ in first}),
        tools=len({tool for _, tool in first}),
        people=len(set[str]().union(*(usage.people for _, usage in uses))),
        days=len(set[int]().union(*(usage.days for _, usage in uses))),
        first=min(usage.first for _, usage in uses),
        last=max(usage.last for _, usage in uses),
        new=round(new / lately, 4) if lately else 0.0,
    )


def by_file(found: Sequence[Recommendation]) -> Mapping[str, str]:
    """The text of each policy file."""
    files: dict[str, str] = {}
    for each in found:
        files[each.file] = files.get(each.file, _HEAD) + "\n" + each.text
    return files


_HEAD = "// Recommended by `hopgate policy recommend` from permitted calls. Staged: remove @mode to enforce one.\n"
