"""Attack 25: arguments that look like Cedar's own JSON escapes, or like anything else, never sway a decision.

Without a schema, ``{"__entity": …}`` in an argument becomes an entity and can turn a denial into a permit.
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.model import Call, Chain, Decision, Deny, Hop, Peer, Permit, Route, SpiffeId, Uid
from gateway.core.policy.bundle import Bundle, PolicySource, compile_bundle
from gateway.core.policy.decide import decide
from gateway.core.registry import Agent, Person, Registry, Server, Tool, Upstream

SCHEMA = (Path(__file__).parents[2] / "schemas" / "gateway.cedarschema").read_text()
ID = SpiffeId("spiffe://example.test/agent/a")
ENTITY = {"__entity": {"type": "Agent", "id": "a"}}
EXTENSION = {"__extn": {"fn": "datetime", "arg": "2030-01-01"}}
INVOKE = 'principal is Agent, action == Action::"invokeTool", resource is Tool'
READS = f'@id("p") permit ({INVOKE}) when {{ context has args.s.t && context.args.s.t.n < 10 }};'
READS_TEXT = f'@id("p") permit ({INVOKE}) when {{ context has args.s.t && context.args.s.t.x != "no" }};'
IGNORES = f'@id("p") permit ({INVOKE}) when {{ principal.risk_level == "low" }};'
IGNORES_AND_DENIES = f'@id("p") permit ({INVOKE}) when {{ principal.risk_level == "high" }};'


def registry() -> Registry:
    arguments = {
        "properties": {
            "n": {"type": "integer"},
            "x": {"type": "string"},
            "__entity": {"type": "object", "properties": {"type": {"type": "string"}}},
            "free": {},
        },
        "required": ["n", "x"],
    }
    tool = Tool(server="s", name="t", risk_level="low", environment="test", scopes=("s/t",), input_schema=arguments)
    up = Upstream("https://127.0.0.1:1/", SpiffeId("spiffe://example.test/server/s"))
    return Registry(
        people={"i|o": Person("i|o", "https://i.example", "o", "O")},
        agents={
            "a": Agent(name="a", spiffe_id=ID, owner="i|o", team="x", purpose="", risk_level="low", environment="test")
        },
        servers={"s": Server(name="s", team="x", environment="test", upstream=up, tools={"t": tool})},
        models={},
        teams=frozenset({"x"}),
        by_spiffe_id={ID: "a"},
        by_audience={},
    )


REGISTRY = registry()


def decided(policy: str, arguments: object) -> Decision:
    bundle = compile_bundle([PolicySource("platform/p.cedar", policy)], SCHEMA, REGISTRY)
    assert isinstance(bundle, Bundle), bundle
    call = Call(
        protocol="mcp",
        version="1",
        method="tools/call",
        action="invokeTool",
        resource=Uid("Tool", "s/t"),
        message={},
        arguments=arguments,  # type: ignore[arg-type]
    )
    chain = Chain("i|o", (ID,), ("a",), "t", 2_000_000_000, 8, frozenset())
    route = Route("mcp", "s", "/mcp/s", "https://gw/mcp/s", "https://gw/mcp/s")
    return decide(Hop("h", route, Peer(ID, "example.test", "x", 0), "a", None, call, chain, 0), bundle, REGISTRY, 1)


@pytest.mark.parametrize(
    "value",
    [
        ENTITY,
        EXTENSION,
        {"__expr": "true"},
        {"__extn": {"fn": "ip", "arg": "::1"}},
        [1],
        {},
        True,
        1.0,
        "1",
        None,
        2**63,
        -(2**63) - 1,
        10**400,
        float("nan"),
    ],
    ids=repr,
)
def test_what_is_not_a_long_is_refused_where_a_policy_reads_one(value):
    found = decided(READS, {"n": value, "x": ""})
    assert isinstance(found, Deny)
    assert (found.reason, found.policies) == ("arguments_invalid", ())


@pytest.mark.parametrize("value", [ENTITY, EXTENSION, {"__expr": "true"}, ["a"], 1, False, None, "\ud800"], ids=repr)
def test_what_is_not_a_string_is_refused_where_a_policy_reads_one(value):
    found = decided(READS_TEXT, {"n": 1, "x": value})
    assert isinstance(found, Deny)
    assert found.reason == "arguments_invalid"


@pytest.mark.parametrize(
    "text", ['{"__entity":{"type":"Agent","id":"a"}}', 'Agent::"a"', "no\x00", "\u202eno", "NO", ""]
)
def test_a_string_stays_a_string(text):
    assert isinstance(decided(READS_TEXT, {"n": 1, "x": text}), Permit)
    assert isinstance(decided(READS_TEXT, {"n": 1, "x": "no"}), Deny)


@pytest.mark.parametrize("extra", ["N", "n ", "__entity2", "ｎ", "__proto__"])
def test_a_second_spelling_of_an_argument_is_refused_where_a_policy_reads_the_first(extra):
    found = decided(READS, {"n": 1, "x": "", extra: 1000})
    assert isinstance(found, Deny)
    assert found.reason == "arguments_invalid"


@pytest.mark.parametrize("name", ["__entity", "__extn", "__expr"])
def test_reserved_names_can_not_be_read(name):
    text = f'@id("p") permit ({INVOKE}) when {{ context has args.s.t && context.args.s.t has "{name}" }};'
    bundle = compile_bundle([PolicySource("platform/p.cedar", text)], SCHEMA, REGISTRY)
    if isinstance(bundle, Bundle):
        assert isinstance(decided(text, {"n": 1, "x": "", name: {"type": "Agent"}}), Deny)


HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**80), 10**300, "\ud800", "\x00", "\u202e", 'Agent::"a"', float("nan"), float("inf")])
    | st.floats()
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["__entity", "__extn", "__expr", "type", "id", "fn", "arg", "\ud800"]), inner)
    ),
    max_leaves=6,
)
ARGUMENTS = st.none() | st.dictionaries(st.sampled_from(["n", "x", "free", "__entity", "__extn", "other"]), HOSTILE)


@settings(max_examples=150, deadline=None)
@given(ARGUMENTS)
def test_hostile_arguments_never_change_a_verdict_of_policies_that_do_not_read_them(arguments):
    assert isinstance(decided(IGNORES, arguments), Permit)
    denied = decided(IGNORES_AND_DENIES, arguments)
    assert isinstance(denied, Deny)
    assert denied.reason == "no_permit"


@settings(max_examples=150, deadline=None)
@given(ARGUMENTS)
def test_hostile_arguments_permit_only_what_their_values_permit(arguments):
    if isinstance(decided(READS, arguments), Permit):
        assert type(arguments["n"]) is int
        assert arguments["n"] < 10
