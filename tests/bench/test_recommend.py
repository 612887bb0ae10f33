"""What is measured of recommendations is what Cedar decides; and with LONG, the goals on the seeds held out."""

import os
import random

import pytest
from msgspec import structs

from bench.policy import hop
from bench.recommend import HELD_OUT, compared, for_user, measured, pairs_of, seen_by, settled, thresholds
from bench.recommend_world import NOISE, company
from gateway.core.model import Chain, Permit, SpiffeId, User
from gateway.core.policy.bundle import Bundle, PolicySource, compile_bundle
from gateway.core.policy.decide import decide
from gateway.core.policy.recommend import by_file, recommend
from gateway.core.policy.recommend_terms import Space
from gateway.publish import cedar_schema

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
RUNS = [(seed, 1_000, "usual", 0.95, 0.9) for seed in HELD_OUT] if LONG else [(7, 60, "calm", 0.5, 0.7)]
"""The goals, on the seeds held out; in short, that a sixteenth of a company isn't told nonsense."""


def test_the_measured_sets_are_what_cedar_permits() -> None:
    world = company(4, agents=40, noise=NOISE["calm"])
    registry = world.registry
    found = settled(recommend(seen_by(world), registry, thresholds()))
    assert found.found
    files = by_file(found.found)
    sources = [PolicySource(path, text.replace('@mode("staged")\n', "")) for path, text in files.items()]
    bundle = compile_bundle(sources, cedar_schema(), registry)
    assert isinstance(bundle, Bundle), bundle
    tools = [tool for server in registry.servers.values() for tool in server.tools.values()]
    whole = Space(registry, registry.agents.values(), tools, set(world.people.values()))
    masks = [(pairs_of(whole, each), each.terms) for each in found.found]
    draw, seen = random.Random(1), set()
    for _ in range(600):
        name = draw.choice(sorted(world.people))
        agent, tool = draw.choice(whole.agents), draw.choice(whole.tools)
        if draw.random() < 0.5:
            call = draw.choice(world.traffic)
            agent, tool, name = registry.agents[call.agent], call.tool, call.user
        index = whole.users.index(world.people[name])
        at = whole.cell(whole.agents.index(agent), whole.tools.index(tool))
        meant = any((mask & for_user(whole, index, terms)) >> at & 1 for mask, terms in masks)
        assert isinstance(decide(_hop(world, agent, tool, name), bundle, registry, 1), Permit) is meant
        seen.add(meant)
    assert seen == {True, False}
    precision, recall = compared(world, found)
    assert precision > 0.5
    assert recall > 0.5


@pytest.mark.parametrize(("seed", "agents", "noise", "precision", "recall"), RUNS)
def test_known_rules_are_found_again(seed: int, agents: int, noise: str, precision: float, recall: float) -> None:
    found = measured(seed, noise, agents)
    assert (found.precision >= precision, found.recall >= recall) == (True, True), found


def test_a_small_company_is_told_right_with_caution() -> None:
    found = measured(7, "calm", 60, cautious=True)
    assert (found.precision >= 0.9, found.recall >= 0.9) == (True, True), found


def test_lists_that_no_attribute_tells_are_told_by_name() -> None:
    found = measured(3, "usual", 200, shape="lists", cautious=True)
    assert (found.precision >= 0.95, found.recommended - found.named) == (True, 0), found


def _hop(world, agent, tool, name):
    person = world.registry.people[name]
    base = hop(0, 0, 0, 0)
    user = User(person.issuer, "corp", person.subject, None, person.roles, person.groups)
    call = structs.replace(base.call, resource=tool.uid, arguments={})
    chain = Chain(name, (agent.spiffe_id,), (agent.name,), "t", 2_000_000_000, 8, frozenset({"tools"}))
    peer = structs.replace(base.peer, spiffe_id=SpiffeId(agent.spiffe_id))
    return structs.replace(base, peer=peer, agent=agent.name, user=user, call=call, chain=chain)
