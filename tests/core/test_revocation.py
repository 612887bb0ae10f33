"""Revocations: the indexed view says what a naive scan would, more of them never revoke less, and expiry is exact."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import Chain, HopToken, RootToken, SpiffeId, User
from gateway.core.registry import Agent, Registry
from gateway.core.revocation import (
    AgentTarget,
    AllTarget,
    AttributeTarget,
    Key,
    Revocation,
    Target,
    TokenTarget,
    TxnTarget,
    UserTarget,
    condition,
    describe,
    keys_of_agent,
    keys_of_chain,
    keys_of_presented,
    touched_agents,
    view,
)

NOW = 1_800_000_000
FACTS: dict[str, dict[str, Any]] = {
    "planner": {"environment": "production", "team": "finance", "groups": ("a", "b")},
    "analyst": {"environment": "dev", "team": "finance", "classes": ("reader",), "tags": {"zone": "eu"}},
    "auditor": {
        "environment": "dev",
        "team": "audit",
        "risk_level": "high",
        "owner": "corp|ann",
        "tags": {"zone": "us"},
    },
}


def spiffe(name: str) -> SpiffeId:
    return SpiffeId(f"spiffe://demo.test/agent/{name}")


def agent(name: str) -> Agent:
    usual = {"owner": "corp|maria", "purpose": "p", "risk_level": "low"}
    return Agent(name=name, spiffe_id=spiffe(name), **(usual | FACTS[name]))


REGISTRY = Registry(
    people={},
    agents={name: agent(name) for name in FACTS},
    servers={},
    models={},
    teams=frozenset({"finance", "audit"}),
    by_spiffe_id={spiffe(name): name for name in FACTS},
    by_audience={},
)
ATTRIBUTES = (
    ("environment", ("dev", "production")),
    ("team", ("finance", "audit")),
    ("risk_level", ("low", "high")),
    ("owner", ("corp|ann", "corp|maria")),
    ("group", ("a", "b", "c")),
    ("class", ("reader", "writer")),
)
targets: st.SearchStrategy[Target] = st.one_of(
    st.sampled_from(["root", "digest", "jti-1", "jti-2", "other"]).map(TokenTarget),
    st.sampled_from(["txn-1", "txn-2"]).map(TxnTarget),
    st.sampled_from(["corp|maria", "corp|ann"]).map(UserTarget),
    st.sampled_from([*FACTS, "gone", *map(spiffe, FACTS), spiffe("gone")]).map(AgentTarget),
    *(
        st.sampled_from(values).map(lambda value, name=name: AttributeTarget(name, value))
        for name, values in ATTRIBUTES
    ),
    st.sampled_from(["eu", "us"]).map(lambda zone: AttributeTarget("tag", zone, "zone")),
    st.just(AllTarget()),
)
ends = st.one_of(st.none(), st.integers(NOW - 3, NOW + 3))


@st.composite
def revocations(draw: st.DrawFn) -> Revocation:
    name = draw(st.integers(0, 10**6))
    return Revocation(id=f"r{name}", target=draw(targets), reason="r", by="b", at=0, expires=draw(ends))


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    names = draw(st.lists(st.sampled_from([*FACTS, "gone"]), min_size=1, max_size=4))
    return Chain(
        sub=draw(st.sampled_from(["corp|maria", "corp|ann", spiffe("planner")])),
        actors=tuple(map(spiffe, names)),
        agents=tuple(names),
        txn=draw(st.sampled_from(["txn-1", "txn-2"])),
        root_expires=NOW + 60,
        max_depth=5,
        ceiling=frozenset(),
        parent=draw(st.sampled_from(["root", "digest", None])),
    )


def scanned(made: list[Revocation], chain: Chain, now: float) -> bool:
    """What a reader of the words would say, one revocation after the other."""
    agents = [REGISTRY.agents[name] for name in chain.agents if name in REGISTRY.agents]

    def names(each: Target) -> bool:
        match each:
            case TokenTarget(token=token):
                return token == chain.parent
            case TxnTarget(txn=txn):
                return txn == chain.txn
            case UserTarget(user=user):
                return user == chain.sub
            case AgentTarget(agent=name):
                return name in chain.actors or any(agent.name == name for agent in agents)
            case AttributeTarget(attribute="group", value=value):
                return any(value in agent.groups for agent in agents)
            case AttributeTarget(attribute="class", value=value):
                return any(value in agent.classes for agent in agents)
            case AttributeTarget(attribute="tag", value=value, tag=tag):
                return any(agent.tags.get(tag) == value for agent in agents)
            case AttributeTarget(attribute=attribute, value=value):
                return any(getattr(agent, attribute) == value for agent in agents)
        return True

    return any(names(each.target) and (each.expires is None or now < each.expires) for each in made)


def touched(made: list[Revocation], chain: Chain, now: float) -> bool:
    return view(1, made).touching(keys_of_chain(chain, REGISTRY), now) is not None


@given(st.lists(revocations(), max_size=8), chains(), st.integers(NOW - 4, NOW + 4))
def test_the_index_says_what_a_scan_says(made: list[Revocation], chain: Chain, now: int) -> None:
    assert touched(made, chain, now) == scanned(made, chain, now)


@given(st.lists(revocations(), max_size=8), revocations(), chains(), st.integers(NOW - 4, NOW + 4), st.randoms())
def test_one_more_never_revokes_less(
    made: list[Revocation], more: Revocation, chain: Chain, now: int, random: Any
) -> None:
    added = [*made, more]
    random.shuffle(added)
    assert touched(added, chain, now) >= touched(made, chain, now)


@given(targets, st.integers(1, 2**40))
def test_expiry_is_exact(target: Target, expires: int) -> None:
    made = view(1, [Revocation(id="r", target=target, reason="r", by="b", at=0, expires=expires)])
    keys: tuple[Key, ...] = (target.key,)
    assert made.touching(keys, expires - 0.001) is not None
    assert made.touching(keys, expires) is None


@given(targets)
def test_a_target_is_read_as_it_was_written(target: Target) -> None:
    assert msgspec.json.decode(msgspec.json.encode(target), type=Target) == target


def test_a_hop_token_is_known_by_itself_its_parent_its_chain_and_its_actors() -> None:
    token = HopToken(
        sub="corp|maria", audience="a", actors=(spiffe("planner"), spiffe("analyst")), txn="txn-1",
        ceiling=frozenset(), depth=2, max_depth=5, root_expires=NOW + 9, expires=NOW + 9, digest="digest",
        user=User("i", "corp", "maria"), jti="jti-1", parent="root",
    )  # fmt: skip
    keys = set(keys_of_presented(token, REGISTRY))
    expected: list[Target] = [
        *map(TokenTarget, ("digest", "jti-1", "root")),
        TxnTarget("txn-1"),
        UserTarget("corp|maria"),
        *map(AgentTarget, ("planner", "analyst", spiffe("planner"))),
        AttributeTarget("environment", "dev"),
        AttributeTarget("tag", "eu", "zone"),
    ]
    assert {target.key for target in expected} <= keys
    assert AttributeTarget("team", "audit").key not in keys
    assert set(keys_of_presented(None, REGISTRY)) == set()


def test_a_root_token_is_known_by_its_digest_its_jti_and_its_person() -> None:
    root = RootToken(User("i", "corp", "maria"), "cli", frozenset(), NOW + 9, "root", "jti-2")
    assert set(keys_of_presented(root, REGISTRY)) == {
        ("user", "", "corp|maria"),
        ("token", "", "root"),
        ("token", "", "jti-2"),
    }


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ('environment == "dev"', AttributeTarget("environment", "dev")),
        ('  team=="finance" ', AttributeTarget("team", "finance")),
        ('owner == "corp|\\"ann\\""', AttributeTarget("owner", 'corp|"ann"')),
        ('tag.zone == "eu"', AttributeTarget("tag", "eu", "zone")),
    ],
)
def test_a_condition(text: str, target: AttributeTarget) -> None:
    assert condition(text) == target
    assert condition(describe(target).removeprefix("agents with ")) == target


@pytest.mark.parametrize(
    "text",
    [
        "", "environment", 'environment = "dev"', "environment == dev", 'name == "x"', 'tag == "eu"', 'tag. == "eu"',
        'team == "a" && team == "b"', 'team == "a"; drop', 'team == "', 'team == ""', 'team.x == "a"',
    ],
)  # fmt: skip
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(ValueError):
        condition(text)


@pytest.mark.parametrize(
    "document",
    [
        {}, {"kind": "nobody"}, {"kind": "token"}, {"kind": "token", "token": ""}, {"kind": "token", "token": "a b"},
        {"kind": "txn", "txn": "x" * 257}, {"kind": "user", "user": "maria"}, {"kind": "agent", "agent": "a b"},
        {"kind": "attribute", "attribute": "purpose", "value": "x"}, {"kind": "attribute", "attribute": "team"},
        {"kind": "attribute", "attribute": "tag", "value": "x"},
        {"kind": "attribute", "attribute": "team", "value": "x", "tag": "y"}, {"kind": "all", "agent": "x"},
    ],
)  # fmt: skip
def test_what_is_no_target(document: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, Target)


def test_what_is_no_condition_says_how_one_is_written() -> None:
    with pytest.raises(ValueError) as caught:
        condition("environment")
    assert str(caught.value) == (
        'write one comparison, ATTRIBUTE == "VALUE", of environment, team, risk_level, owner, group, class or tag.NAME'
    )


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (TokenTarget("j-1"), "token j-1"),
        (TxnTarget("txn-1"), "txn txn-1"),
        (UserTarget("corp|maria"), "user corp|maria"),
        (AgentTarget("planner"), "agent planner"),
        (AttributeTarget("team", 'a "b"'), 'agents with team == "a \\"b\\""'),
        (AttributeTarget("tag", "eu", "zone"), 'agents with tag.zone == "eu"'),
        (AllTarget(), "everything"),
    ],
)
def test_a_target_in_words(target: Target, words: str) -> None:
    assert describe(target) == words


def test_a_target_without_a_name_for_its_tag_is_none() -> None:
    for attribute, tag in (("tag", ""), ("team", "zone")):
        with pytest.raises(ValueError, match=r"^a tag has a name, and no other attribute has one$"):
            AttributeTarget(attribute, "x", tag)  # type: ignore[arg-type]


def test_a_view_keeps_its_epoch_and_one_of_each_target() -> None:
    short, long, other = (
        Revocation(id=name, target=target, reason="r", by="b", at=0, expires=NOW + life)
        for name, target, life in (("s", TxnTarget("t"), 1), ("l", TxnTarget("t"), 2), ("o", TxnTarget("u"), 1))
    )
    for made in ([short, long, other], [long, short, other]):
        found = view(7, made)
        assert (found.epoch, len(found)) == (7, 2)
        assert found.by_key[TxnTarget("t").key].id == "l"


def test_the_kill_switch_is_passed_over_for_those_who_may_lift_it() -> None:
    everything = view(1, [Revocation(id="r", target=AllTarget(), reason="r", by="b", at=0)])
    assert everything.touching((), NOW) is not None
    assert everything.touching((TxnTarget("t").key,), NOW, halted=False) is None


def test_every_key_of_an_agent() -> None:
    full = Agent(
        name="a", spiffe_id=spiffe("a"), owner="corp|ann", team="t", purpose="p", risk_level="high", environment="dev",
        groups=("g", "h"), classes=("c",), tags={"zone": "eu"},
    )  # fmt: skip
    assert list(keys_of_agent(full)) == [
        ("agent", "", "a"), ("agent", "", spiffe("a")), ("attribute", "environment", "dev"), ("attribute", "team", "t"),
        ("attribute", "risk_level", "high"), ("attribute", "owner", "corp|ann"), ("attribute", "group", "g"),
        ("attribute", "group", "h"), ("attribute", "class", "c"), ("attribute", "tag.zone", "eu"),
    ]  # fmt: skip


def test_every_key_of_a_chain() -> None:
    """An agent that is registered no longer is known by its SPIFFE ID."""
    chain = Chain("corp|maria", (spiffe("gone"),), ("gone",), "txn-1", NOW, 5, frozenset(), "root")
    keys = [("user", "", "corp|maria"), ("txn", "", "txn-1"), ("agent", "", spiffe("gone")), ("token", "", "root")]
    assert list(keys_of_chain(chain, REGISTRY)) == keys
    assert list(keys_of_chain(msgspec.structs.replace(chain, parent=None), REGISTRY)) == keys[:-1]
    brought = msgspec.structs.replace(chain, parent=None, via=spiffe("other-gateway"))
    assert list(keys_of_chain(brought, REGISTRY)) == [*keys[:-1], ("agent", "", spiffe("other-gateway"))]


def test_of_two_that_never_expire_the_first_is_kept() -> None:
    one, other = (Revocation(id=name, target=AllTarget(), reason="r", by="b", at=0) for name in ("1", "2"))
    assert view(1, [one, other]).by_key[AllTarget().key].id == "1"


def test_which_agents_a_target_stops() -> None:
    assert touched_agents(AttributeTarget("environment", "dev"), REGISTRY) == ("analyst", "auditor")
    assert touched_agents(AgentTarget(spiffe("planner")), REGISTRY) == ("planner",)
    assert touched_agents(AllTarget(), REGISTRY) == ("analyst", "auditor", "planner")
    assert touched_agents(UserTarget("corp|maria"), REGISTRY) == ()
