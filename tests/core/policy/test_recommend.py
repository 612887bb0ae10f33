"""Recommendations: that what is recommended loads, is staged, says what it rests on, and rests on permitted calls."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.recommend import START, thresholds
from gateway.core.policy.bundle import Bundle, compile_bundle
from gateway.core.policy.recommend import by_file, recommend
from gateway.core.policy.recommend_guards import guards
from gateway.core.policy.recommend_phase import Thresholds, phase_of
from gateway.core.policy.recommend_pockets import Caution
from gateway.core.policy.recommend_regions import Use
from gateway.core.policy.recommend_seen import DAY_MS, Request, Seen, Usage
from gateway.core.policy.recommend_terms import Profile, Space
from gateway.core.policy.source import PolicySource
from gateway.core.registry import Server, Upstream
from gateway.publish import cedar_schema
from tests.core.policy.conftest import agent, registry_of, tool

LOOSE = Thresholds(recent_from=START, caution=Caution(agents=2, pairs=2))
USER = Profile(("cfo",), (), "finance")
SHAPES = [("low", False), ("low", True), ("medium", False), ("high", True)]


def firm_of(agents):
    tools = [
        tool(
            "ledger", f"t{number}", risk_level=risk, destructive=destructive, read_only=not destructive, sets=("books",)
        )
        for number, (risk, destructive) in enumerate(SHAPES)
    ]
    up = Upstream("https://127.0.0.1:1/", None)
    ledger = Server(
        name="ledger", team="finance", environment="production", upstream=up, tools={t.name: t for t in tools}
    )
    return registry_of(agents=agents, servers=[ledger]), tools


def crowd(count=12):
    return [
        agent(f"a{number}", team=("finance", "platform")[number % 2], risk_level=("low", "medium", "high")[number % 3])
        for number in range(count)
    ]


def use(pairs, tools, who=USER, calls=30):
    days = {START // DAY_MS + day for day in range(5)}
    return {
        Request(name, tools[index].uid, who): Usage(
            START, START + 4 * DAY_MS, calls=calls, days=set(days), people={"p"}
        )
        for name, index in pairs
    }


def loaded(found, registry):
    sources = [PolicySource(path, text) for path, text in by_file(found).items()]
    bundle = compile_bundle(sources, cedar_schema(), registry)
    assert isinstance(bundle, Bundle), bundle
    assert not [each for each in bundle.warnings if "no @id" in str(each)]
    assert not bundle.policies
    return bundle


def test_a_team_is_told_by_its_team_and_bounded_by_what_was_seen():
    registry, tools = firm_of(crowd(40))
    mine = [each.name for each in registry.agents.values() if each.team == "finance" and each.risk_level != "high"]
    used = use([(name, index) for name in mine[1:] for index in (0, 2)], tools)
    other = use([(each.name, 3) for each in registry.agents.values() if each.team == "platform"], tools)
    found = recommend(Seen({**used, **other}, {}), registry, LOOSE).found
    (one,) = [each for each in found if 'principal is Agent in Team::"finance"' in each.text]
    assert one.by == "attributes"
    assert one.file == "teams/finance/recommended.cedar"
    assert "!resource.destructive" in one.text or "resource.read_only" in one.text
    assert "resource.risk <= 2" in one.text
    assert "context.delegation_depth <= 1" in one.text
    assert "context has user" in one.text
    assert mine[0] in one.beyond.names
    assert all(name not in one.text for name in mine)
    loaded(found, registry)


def test_what_no_attribute_tells_is_told_by_name_and_says_so():
    registry, tools = firm_of([agent(name) for name in ("a", "b", "c", "d", "e")])
    found = recommend(Seen(use([("a", 0)], tools), {}), registry, LOOSE)
    (one,) = found.found
    assert one.by == "names"
    assert 'principal == Agent::"a"' in one.text
    assert "by name" in one.text
    loaded(found.found, registry)


def test_rare_calls_of_one_agent_are_left_unexplained():
    registry, tools = firm_of(crowd())
    found = recommend(Seen(use([("a0", 0)], tools, calls=2), {}), registry, LOOSE)
    assert (found.found, found.unexplained) == ((), 1)


def test_nothing_seen_recommends_nothing():
    registry, _ = firm_of(crowd())
    assert recommend(Seen({}, {}), registry, LOOSE).found == ()


@pytest.mark.parametrize(
    ("calls", "days", "new", "phase"),
    [
        (19, 9, 0, "learning"),
        (20, 2, 0, "learning"),
        (20, 3, 0.06, "stabilising"),
        (20, 3, 0.05, "stable"),
    ],
)
def test_phases(calls, days, new, phase):
    assert phase_of(calls, days, new, thresholds()) == phase


@given(st.data())
def test_recommended_text_loads_is_staged_and_is_the_same_again(data):
    registry, tools = firm_of(crowd(4))
    names = st.sampled_from(sorted(registry.agents))
    pairs = data.draw(st.lists(st.tuples(names, st.integers(0, 2)), max_size=8, unique=True))
    roles = st.lists(st.text(max_size=6), max_size=2).map(tuple)
    who = data.draw(st.none() | st.builds(Profile, roles, st.just(()), st.sampled_from(("", "finance"))))
    uses = use(pairs, tools, who)
    found = recommend(Seen(uses, {}), registry, LOOSE).found
    bundle = loaded(found, registry)
    assert len(bundle.changes) == len(found)
    shuffled = list(uses.items())
    random.Random(1).shuffle(shuffled)
    again = recommend(Seen(dict(shuffled), {}), registry, LOOSE).found
    assert msgspec.json.encode(again) == msgspec.json.encode(found)


def test_nothing_is_allowed_beyond_the_lines_that_only_evidence_crosses():
    staging = [agent(f"s{number}", environment="staging", risk_level="high") for number in range(2)]
    registry, tools = firm_of([*(agent(f"a{number}") for number in range(3)), *staging])
    space = Space(registry, registry.agents.values(), tools, {USER, None})
    asked = space.users.index(USER)
    seen = Use(space, [(space.cell(number, 0), asked) for number in range(3)])
    assert {term.text for term in guards(seen, seen.everything())} == {
        "principal.risk <= 1",
        "resource.risk <= 1",
        'principal.environment == "production"',
        "!resource.destructive",
        "context has user",
    }
    wider = Use(space, [(space.cell(number, tool), user) for number in range(5) for tool in (0, 3) for user in (0, 1)])
    assert list(guards(wider, wider.everything())) == []
