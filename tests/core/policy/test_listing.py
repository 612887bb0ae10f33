"""Callable implies listed, for random policies that read arguments, random registries of tools and random calls."""

from cedarpy import policies_to_pst
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.model import Ask, Permit, Uid, Usage
from gateway.core.policy.bundle import Bundle, compile_bundle
from gateway.core.policy.decide import decide, may_use
from gateway.core.policy.listing import list_tree
from gateway.core.policy.render import render
from gateway.core.policy.syntax import conditions

PAY = "context has args.ledger.pay"
ARGUMENT_TESTS = [
    f"({PAY} && context.args.ledger.pay.amount > 10)",
    f"({PAY} && context.args.ledger.pay.amount * 9223372036854775807 > 10)",
    f'({PAY} && context.args.ledger.pay.to == "bob")',
    f'({PAY} && context.args.ledger.pay has memo && context.args.ledger.pay.memo like "*x*")',
    f"(if {PAY} then context.args.ledger.pay.amount > 10 else false)",
    f'(if {PAY} then principal.hasTag("autonomous") else principal.hasTag("autonomous"))',
    "(context has args.ledger)",
]
USAGE_TESTS = [
    "(context has usage && context.usage.agent_requests_minute > 5)",
    "(context has usage.agent_requests_minute && context.usage.agent_requests_minute * 9223372036854775807 > 5)",
    "(if context has usage then context.usage.agent_concurrent > 1 else true)",
]
OTHER_TESTS = [
    'principal.risk_level == "low"',
    'resource in ToolSet::"payments"',
    "context.delegation_depth > 1",
    "principal.risk * 9223372036854775807 > 1",
    '(principal.hasTag("autonomous") && principal.getTag("autonomous") == "true")',
    '(context has user && context.user in Group::"finance-leads")',
    "resource.read_only",
    "true",
]
EXPRESSIONS = st.recursive(
    st.sampled_from([*ARGUMENT_TESTS, *USAGE_TESTS, *OTHER_TESTS]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} && {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} || {pair[1]})"),
        st.tuples(inner, inner, inner).map(lambda three: f"(if {three[0]} then {three[1]} else {three[2]})"),
        inner.map(lambda one: f"!({one})"),
    ),
    max_leaves=5,
)
POLICIES = st.lists(
    st.tuples(
        st.sampled_from(["permit", "permit", "forbid"]),
        st.sampled_from(["when", "unless"]),
        EXPRESSIONS,
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
ARGUMENTS = st.fixed_dictionaries(
    {"amount": st.sampled_from([0, 11, 2**62]), "to": st.sampled_from(["bob", "eve"])},
    optional={"memo": st.sampled_from(["x", "y", None])},
)


def written(policies):
    for index, (effect, clause, condition, asks) in enumerate(policies):
        approval = '@approval("finance-leads") ' if asks and effect == "forbid" else ""
        lifted = " unless { context.approved }" if approval else ""
        scope = '(principal is Agent, action == Action::"invokeTool", resource is Tool)'
        yield f'@id("p{index}") {approval}{effect} {scope} {clause} {{ {condition} }}{lifted};'


@settings(max_examples=250, deadline=None)
@given(
    POLICIES,
    ARGUMENTS,
    st.sampled_from(["analyst", "auditor", "archivist"]),
    st.sampled_from(["pay", "read_balance"]),
    st.tuples(*[st.sampled_from([Usage(), Usage(agent_requests_minute=6, agent_concurrent=2)])] * 2),
)
def test_callable_implies_listed(kit, firm, policies, arguments, who, name, usages):
    """Whatever was used lately when it is listed, and when it is called."""
    bundle = compile_bundle(kit.files(*written(policies)), kit.SCHEMA, firm)
    if not isinstance(bundle, Bundle):
        return
    sent = arguments if name == "pay" else {}
    found = decide(
        kit.hop(who, resource=Uid("Tool", f"ledger/{name}"), arguments=sent, usage=usages[0]), bundle, firm, 1
    )
    if isinstance(found, Permit | Ask):
        server = Uid("McpServer", "ledger")
        assert may_use(
            kit.hop(who, "listTools", server, usage=usages[1]), bundle, firm, firm.servers["ledger"].tools[name].uid
        )
        assert isinstance(decide(kit.hop(who, "discover", server), bundle, firm, 1), Permit)


def derived(text):
    (policy,) = policies_to_pst(text).static_policies.values()
    tree = list_tree(policy)
    return None if tree is None else " && ".join(render(test) for test in conditions(tree))


SCOPE = "(principal, action, resource)"


def test_reads_of_arguments_become_what_lets_the_call_through():
    assert derived(f"permit {SCOPE} when {{ context.args.a.b.c && principal.x }};") == "true && principal.x"
    assert derived(f"forbid {SCOPE} when {{ context.args.a.b.c || principal.x }};") == "false || principal.x"
    assert derived(f"permit {SCOPE} unless {{ context.args.a.b.c }};") == "!false"
    assert derived(f"forbid {SCOPE} unless {{ context.args.a.b.c }};") == "!true"
    assert derived(f"permit {SCOPE} when {{ !(context has args && !context.args.a.b.c) }};") == "!(false && !true)"


def test_what_arguments_shield_from_overflow_is_not_evaluated_without_them():
    assert derived(f"permit {SCOPE} when {{ context.args.a.b.c && principal.x + 1 > 2 }};") == "true"
    assert derived(f"permit {SCOPE} when {{ context.args.a.b.c }} when {{ principal.x + 1 > 2 }};") == "true"
    assert "principal.x + 1" in derived(f"permit {SCOPE} when {{ principal.x + 1 > 2 && context.args.a.b.c }};")


SHIELDS = '(if {} then principal.hasTag("a") else principal.hasTag("a")) && principal.getTag("a") == "x"'


def test_what_a_choice_by_arguments_shields_is_not_evaluated_without_them():
    assert derived(f"permit {SCOPE} when {{ {SHIELDS.format('context.args.a.b.c')} }};") == "true"


def test_a_shielded_tag_does_not_hide_a_tool(kit, firm):
    scope = '(principal is Agent, action == Action::"invokeTool", resource is Tool)'
    tagged = SHIELDS.format(f"{PAY} && context.args.ledger.pay.amount > 10")
    bundle = kit.loaded(
        kit.files(f'@id("all") permit {scope};', f'@id("tagged") permit {scope} when {{ {tagged} }};'), firm
    )
    call = kit.hop(resource=Uid("Tool", "ledger/pay"), arguments={"amount": 1, "to": "x"})
    assert isinstance(decide(call, bundle, firm, 1), Permit)
    listing = kit.hop("analyst", "listTools", Uid("McpServer", "ledger"))
    assert may_use(listing, bundle, firm, firm.servers["ledger"].tools["pay"].uid)


def test_forbids_that_people_can_lift_are_dropped_and_others_kept_as_they_are():
    assert derived(f'@approval("g") forbid {SCOPE} unless {{ context.approved }};') is None
    (policy,) = policies_to_pst(f"forbid {SCOPE} when {{ principal.x }};").static_policies.values()
    assert list_tree(policy) is policy
