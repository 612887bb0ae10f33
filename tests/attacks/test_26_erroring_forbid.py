"""Attack 26: Cedar skips a forbid that errs, which would fail open. Here an error anywhere is a denial.

Also the quieter forms: an entity that was never loaded, and a bundle that was never validated.
"""

from pathlib import Path

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.model import Call, Chain, Decision, Deny, Hop, Peer, Permit, Route, SpiffeId, Uid
from gateway.core.policy.bundle import Bundle, PolicySource, compile_bundle
from gateway.core.policy.decide import decide, may_use
from gateway.core.registry import Agent, Person, Registry, Server, Tool, Upstream

SCHEMA = (Path(__file__).parents[2] / "schemas" / "gateway.cedarschema").read_text()
ID = SpiffeId("spiffe://example.test/agent/a")
INVOKE = 'principal is Agent, action == Action::"invokeTool", resource is Tool'
PERMIT = f'@id("permit") permit ({INVOKE});'
MAX = 9223372036854775807
ERRORS = [
    f"principal.risk + {MAX} > 0",
    f"principal.risk * {MAX} > {MAX}",
    f"-{MAX} - principal.risk - principal.risk < 0",
    f"context has args.s.t && context.args.s.t.n + {MAX} > 0",
    'context.now.offset(duration("106751991167d")) > context.now',
]


def registry(**changes: object) -> Registry:
    arguments = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tool = Tool(server="s", name="t", risk_level="low", environment="test", scopes=("s/t",), input_schema=arguments)
    up = Upstream("https://127.0.0.1:1/", SpiffeId("spiffe://example.test/server/s"))
    agent = Agent(name="a", spiffe_id=ID, owner="i|o", team="x", purpose="", risk_level="medium", environment="test")
    known = Registry(
        people={"i|o": Person("i|o", "https://i.example", "o", "O", groups=("suspended",))},
        agents={"a": agent},
        servers={"s": Server(name="s", team="x", environment="test", upstream=up, tools={"t": tool})},
        models={},
        teams=frozenset({"x"}),
        by_spiffe_id={ID: "a"},
        by_audience={},
    )
    return structs.replace(known, **changes)


def hop(action: str = "invokeTool", resource: Uid | None = None) -> Hop:
    call = Call(
        protocol="mcp",
        version="1",
        method="m",
        action=action,
        resource=resource or Uid("Tool", "s/t"),
        message={},
        arguments={"n": 5},
    )
    chain = Chain("i|o", (ID,), ("a",), "t", 2_000_000_000, 8, frozenset())
    route = Route("mcp", "s", "/mcp/s", "https://gw/mcp/s", "https://gw/mcp/s")
    return Hop("h", route, Peer(ID, "example.test", "x", 0), "a", None, call, chain, 253_000_000_000_000)


def decided(known: Registry, *policies: str) -> Decision:
    bundle = compile_bundle([PolicySource("platform/p.cedar", "\n".join(policies))], SCHEMA, known)
    assert isinstance(bundle, Bundle), bundle
    return decide(hop(), bundle, known, 1)


@pytest.mark.parametrize("condition", ERRORS)
def test_a_forbid_that_errs_denies(condition):
    found = decided(registry(), PERMIT, f'@id("forbid") forbid ({INVOKE}) when {{ {condition} }};')
    assert isinstance(found, Deny)
    assert (found.reason, found.policies) == ("policy_error", ())
    assert "`forbid`" in found.detail


def test_cedar_alone_would_have_allowed_it():
    text = f"{PERMIT} forbid ({INVOKE}) when {{ principal.risk + {MAX} > 0 }};"
    entities = [{"uid": {"type": "Agent", "id": "a"}, "attrs": {"risk": 2}, "parents": []}]
    request = {"principal": 'Agent::"a"', "action": 'Action::"invokeTool"', "resource": 'Tool::"s/t"', "context": {}}
    assert cedarpy.is_authorized(request, text, entities).allowed


@pytest.mark.parametrize("condition", ERRORS)
def test_a_permit_that_errs_denies_too(condition):
    found = decided(registry(), PERMIT, f'@id("other") permit ({INVOKE}) when {{ {condition} }};')
    assert isinstance(found, Deny)
    assert found.reason == "policy_error"


def test_what_errs_is_neither_listed_nor_opened():
    text = (
        f'{PERMIT} @id("forbid") forbid (principal is Agent, action, resource) when {{ principal.risk + {MAX} > 0 }};'
    )
    known = registry()
    bundle = compile_bundle([PolicySource("platform/p.cedar", text)], SCHEMA, known)
    server = Uid("McpServer", "s")
    assert not may_use(hop("listTools", server), bundle, known, known.servers["s"].tools["t"].uid)
    assert decide(hop("discover", server), bundle, known, 1).reason == "policy_error"


def test_the_second_evaluation_of_an_approval_denies_on_errors_too():
    ask = f'@id("ask") @approval("suspended") forbid ({INVOKE}) unless {{ context.approved }};'
    errs = f'@id("errs") permit ({INVOKE}) when {{ principal.risk + {MAX} > 0 }};'
    assert decided(registry(), PERMIT, ask, errs).reason == "policy_error"


OWNER = f'@id("owners") forbid ({INVOKE}) when {{ principal.owner in Group::"suspended" }};'


def test_a_missing_owner_does_not_slip_past_a_forbid():
    known = registry()
    assert decided(known, PERMIT, OWNER).reason == "forbidden"
    orphan = registry(agents={"a": structs.replace(known.agents["a"], owner="i|gone")})
    found = decided(orphan, PERMIT, OWNER)
    assert (type(found), found.reason) == (Deny, "policy_error")
    assert isinstance(decided(orphan, PERMIT), Permit)


@pytest.mark.parametrize(
    "text",
    [
        f"forbid ({INVOKE}) when {{ context.args.s.t.n > 1 }};",
        f"forbid ({INVOKE}) when {{ context.nothing == 1 }};",
        f'forbid ({INVOKE}) when {{ principal.getTag("x") == "y" }};',
        f'forbid ({INVOKE}) when {{ principal.risk == "low" }};',
        f"forbid ({INVOKE}) when {{ context.user.email == principal.purpose }};",
    ],
)
def test_a_forbid_that_could_err_for_its_types_never_loads(text):
    found = compile_bundle([PolicySource("platform/p.cedar", f'@id("p") {text}')], SCHEMA, registry())
    assert isinstance(found, tuple)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["true", "false", "principal.risk == 2", "context.reentry", *ERRORS]), max_size=4),
    st.sampled_from(ERRORS),
    st.sampled_from(["when", "unless"]),
)
def test_no_bundle_with_an_erring_forbid_permits(others, erring, clause):
    permits = [f'@id("p{index}") permit ({INVOKE}) when {{ {other} }};' for index, other in enumerate(others)]
    found = decided(registry(), PERMIT, *permits, f'@id("forbid") forbid ({INVOKE}) {clause} {{ {erring} }};')
    assert isinstance(found, Deny)
    assert found.reason == "policy_error"
