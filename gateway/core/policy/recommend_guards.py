"""The bounds that every recommended policy gets where nothing was seen beyond them, however general the rest of it is.

Risk of agent and tool, destructive tools, environments, and calls for nobody: these lines are crossed only by evidence.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

from gateway.core.policy.recommend_regions import Region, Use, positions
from gateway.core.policy.recommend_terms import HAS_USER, Term, flag, one_of, risk_at_most
from gateway.core.registry import RISK

_SEEN_PAIRS = 2
"""Pairs of agent and tool that make a value seen: one may be an accident."""
_SEEN_SHARE = 0.02
T = TypeVar("T", bound=Hashable)


def guards(use: Use, region: Region) -> Iterator[Term]:
    """The bounds that the region lacks."""
    space = use.space
    seen = [space.place(cell) for cell in positions(region.pairs)]
    agents = [space.agents[agent] for agent, _ in seen]
    tools = [space.tools[tool] for _, tool in seen]
    yield from _risk("principal", [RISK[agent.risk_level] for agent in agents], region)
    yield from _risk("resource", [RISK[tool.risk_level] for tool in tools], region)
    known = {agent.environment for agent in space.agents}, {tool.environment for tool in space.tools}
    yield from _environments("principal", [agent.environment for agent in agents], region, known[0])
    yield from _environments("resource", [tool.environment for tool in tools], region, known[1])
    if True not in _seen([tool.destructive for tool in tools]):
        mild = flag("resource", "destructive", value=False)
        if mild not in region.terms and flag("resource", "read_only", value=True) not in region.terms:
            yield mild
    nobody = space.users.index(None) if None in space.users else None
    for_nobody = nobody is not None and any(user == nobody for user in users_of(use, region))
    if not for_nobody and not any(term.side in ("user", "link") for term in region.terms):
        yield HAS_USER


def users_of(use: Use, region: Region) -> Iterator[int]:
    """The users of the region's triples."""
    return (use.triples[triple][1] for triple in positions(region.hits))


def _risk(var: str, risks: list[int], region: Region) -> Iterator[Term]:
    most = max(_seen(risks), default=1)
    told = {term.text for term in region.terms}
    known = {f"{var}.risk <= {level}" for level in range(1, most + 1)}
    known |= {f'{var}.risk_level == "{name}"' for name, level in RISK.items() if level <= most}
    if most < max(RISK.values()) and not told & known:
        yield risk_at_most(var, most)


def _environments(var: str, names: list[str], region: Region, known: set[str]) -> Iterator[Term]:
    """A bound on the environment, unless calls came from or to every one there is."""
    values = _seen(names)
    if values != known and not any(term.attribute == f"{var}.environment" for term in region.terms):
        yield one_of(var, "environment", tuple(sorted(values)))


def _seen(values: Sequence[T]) -> set[T]:
    least = min(max(_SEEN_PAIRS, _SEEN_SHARE * len(values)), len(values))
    return {value for value, count in Counter(values).items() if count >= least}
