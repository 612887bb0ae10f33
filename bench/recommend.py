"""How well recommendations find known rules, from traffic that is only a sample of them: precision and recall.

    python -m bench.recommend [--agents N] [--seeds 101,102,103] [--noise calm,usual,rough] [--write FILE]

Seeds 1 to 10 were used while the algorithm was developed, 101, 102 and 103 were not. A request is an agent, a kind of
user (roles, groups and team) and a tool; all of them are counted, those of agents that never called too. ``--write``
puts the table into the page between its marks.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, structs

from bench.recommend_world import NOISE, Company, Rule, company
from gateway.core.policy.recommend import Recommendation, Recommended, allowed, recommend
from gateway.core.policy.recommend_phase import Thresholds
from gateway.core.policy.recommend_seen import DAY_MS, Request, Seen, Usage
from gateway.core.policy.recommend_terms import USERS_OF_TEAM, Space, Term
from gateway.core.policy.staged_rules import MOST_CHANGES
from gateway.core.registry import RISK

START = 20_000 * DAY_MS
RECENT_DAYS = 7
HELD_OUT = (101, 102, 103)
BEGIN, END = "<!-- figures: python -m bench.recommend --write -->", "<!-- end of figures -->"


class Figures(Struct, frozen=True, kw_only=True):
    """One run."""

    seed: int
    noise: str
    shape: str
    agents: int
    rules: int
    recommended: int
    named: int
    """Of these, those that name an agent."""
    precision: float
    recall: float
    seconds: float


def seen_by(world: Company) -> Seen:
    """What the audit log would hold of a company's traffic."""
    uses: dict[Request, Usage] = {}
    recent = START + (30 - RECENT_DAYS) * DAY_MS
    for call in world.traffic:
        first, last = (START + day * DAY_MS for day in (call.days[0], call.days[-1]))
        request = Request(call.agent, call.tool.uid, world.people[call.user])
        risk = RISK[world.registry.agents[call.agent].risk_level]
        usage = uses.setdefault(request, Usage(first, last, chain_risk=risk))
        usage.first, usage.last = min(usage.first, first), max(usage.last, last)
        usage.calls += call.calls
        usage.recent += sum(START + day * DAY_MS >= recent for day in call.days)
        usage.days |= {START // DAY_MS + day for day in call.days}
        usage.people.add(call.user)
    return Seen(uses, {})


def thresholds() -> Thresholds:
    """The defaults, on the last day of the traffic."""
    return Thresholds(recent_from=START + (30 - RECENT_DAYS) * DAY_MS)


def measured(
    seed: int, noise: str = "usual", agents: int = 1_000, shape: str = "attributes", *, cautious: bool = False
) -> Figures:
    """One seed: what would be written, at most as many policies as can be staged."""
    world = company(seed, agents, NOISE[noise], shape)
    began = time.process_time()
    asked = thresholds()
    asked = structs.replace(asked, caution=structs.replace(asked.caution, cautious=cautious))
    found = recommend(seen_by(world), world.registry, asked)
    seconds = time.process_time() - began
    kept = settled(found)
    precision, recall = compared(world, kept)
    return Figures(
        seed=seed,
        noise=noise,
        shape=shape,
        agents=agents,
        rules=len(world.rules),
        recommended=len(kept.found),
        named=sum(each.by == "names" for each in kept.found),
        precision=precision,
        recall=recall,
        seconds=seconds,
    )


def settled(found: Recommended) -> Recommended:
    """What the command writes by default: nothing that is still learning, and no more than can be staged."""
    ready = [each for each in found.found if each.phase != "learning"]
    strongest = sorted(ready, key=lambda each: (each.by, -each.evidence.calls, each.id))[:MOST_CHANGES]
    return Recommended(tuple(each for each in ready if each in strongest), found.unexplained)


def compared(world: Company, found: Recommended) -> tuple[float, float]:
    """Precision and recall over every agent, kind of user and tool, against the true rules."""
    tools = [tool for server in world.registry.servers.values() for tool in server.tools.values()]
    whole = Space(world.registry, world.registry.agents.values(), tools, set(world.people.values()))
    true = [_meant(whole, rule) for rule in world.rules]
    right = wrong = missed = 0
    pairs = [(each.terms, pairs_of(whole, each)) for each in found.found]
    for index, who in enumerate(whole.users):
        wanted = given = 0
        for rule, mask in zip(world.rules, true, strict=True):
            wanted |= mask if who is not None and rule.user(who) else 0
        for terms, mask in pairs:
            given |= mask & for_user(whole, index, terms)
        right += (wanted & given).bit_count()
        wrong += (given & ~wanted).bit_count()
        missed += (wanted & ~given).bit_count()
    return right / max(right + wrong, 1), right / max(right + missed, 1)


def _meant(whole: Space, rule: Rule) -> int:
    return whole.rows(lambda _, agent: sum(1 << at for at, tool in enumerate(whole.tools) if rule.permits(agent, tool)))


def pairs_of(whole: Space, policy: Recommendation) -> int:
    """The requests of agents for tools that a recommendation allows, for some user."""
    if policy.by == "names":
        tools = sum(1 << at for at, tool in enumerate(whole.tools) if tool.uid in policy.tools)
        return whole.rows(lambda _, agent: tools if agent.name == policy.agent else 0)
    return allowed(whole, policy.terms)


def for_user(whole: Space, index: int, terms: Sequence[Term]) -> int:
    """The requests that the terms about users let one kind of user make."""
    found, every = whole.all, (1 << len(whole.tools)) - 1
    for term in terms:
        if term == USERS_OF_TEAM:
            found &= whole.rows(lambda at, _: every if whole.links[at] >> index & 1 else 0)
        elif term.side == "user" and not whole.user_masks.get(term, 0) >> index & 1:
            return 0
    return found


def table(figures: Sequence[Figures]) -> str:
    """The figures as a table of the page."""
    head = "| rules are | seed | noise | true rules | recommended | by name | precision | recall | CPU seconds |"
    rows = [head, "|---|---|---|---|---|---|---|---|---|"]
    for one in figures:
        cells = (
            one.shape, one.seed, one.noise, one.rules, one.recommended, one.named,
            f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.seconds:.0f}",
        )  # fmt: skip
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--seeds", default=",".join(map(str, HELD_OUT)))
    parser.add_argument("--noise", default=",".join(NOISE))
    parser.add_argument("--lists", action="store_true", help="also rules that no attribute tells, for the first seed")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    asked = parser.parse_args()
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    runs = [(seed, noise, "attributes") for noise in asked.noise.split(",") for seed in seeds]
    runs += [(seeds[0], "usual", "lists")] if asked.lists else []
    figures = []
    for seed, noise, shape in runs:
        figures.append(measured(seed, noise, asked.agents, shape))
        print(table(figures[-1:]).splitlines()[-1], flush=True)
    if asked.write is not None:
        page = asked.write.read_text()
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        asked.write.write_text(f"{before}{BEGIN}\n\n{table(figures)}\n\n{END}{after}")


if __name__ == "__main__":
    main()
