"""Policies that can never decide anything are told, and what is told is always so."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.model import Ask, Uid
from gateway.core.policy.bundle import Bundle, compile_bundle
from gateway.core.policy.decide import decide, may_use

INVOKE = 'principal is Agent, action == Action::"invokeTool", resource is Tool'
PAY, BALANCE = Uid("Tool", "ledger/pay"), Uid("Tool", "ledger/read_balance")
AMOUNT = "context has args.ledger.pay && context.args.ledger.pay.amount"
LIFTED = "unless { context.approved }"


def warned(kit, registry, *policies, path="platform/test.cedar"):
    """The warnings by policy."""
    return {found.policy: found.message for found in kit.loaded(kit.files(*policies, path=path), registry).warnings}


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("when { false }", "false"),
        ("unless { true }", "false for every kind"),
        ("when { principal is User }", "false for every kind"),
        ('when { resource in AgentClass::"data-analyst" }', "false for every kind"),
        ("when { context has user && context has frobs }", "false for every kind"),
        ('when { principal.risk_level == "low" && principal.risk_level == "high" }', "can't be"),
        ('when { principal.risk_level == "low" } unless { principal.risk_level == "low" }', "asks for"),
        ("when { principal.entry_point && !principal.entry_point }", "asks for"),
        ("when { principal.risk > 2 && principal.risk < 3 }", "no number"),
        ("when { principal.risk > 2 } unless { principal.risk >= 2 || context.reentry }", "no number"),
        ("when { 2 < principal.risk && principal.risk == 1 }", "no number"),
        ("when { principal.risk > 9223372036854775807 }", "no number"),
    ],
)
@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_conditions_that_never_hold(kit, firm, condition, why, effect):
    found = warned(kit, firm, f'@id("p") {effect} ({INVOKE}) {condition};')
    assert list(found) == ["p"]
    assert why in found["p"]
    assert f"never {effect}s" in found["p"]


@pytest.mark.parametrize(
    "condition",
    [
        "when { principal.risk > 2 && principal.risk < 4 }",
        'when { principal.risk_level == "low" || principal.risk_level == "high" }',
        'when { principal.risk_level == "low" && resource.risk_level == "high" }',
        "when { principal.entry_point || !principal.entry_point }",
        'unless { principal.risk_level == "low" && principal.risk_level == "high" }',
    ],
)
def test_conditions_that_may_hold(kit, firm, condition):
    assert warned(kit, firm, f'@id("p") permit ({INVOKE}) {condition};') == {}


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (f'permit ({INVOKE}) when {{ principal.risk_level == "low" && !context.reentry }};', f"permit ({INVOKE});"),
        (f"permit ({INVOKE}) when {{ principal.risk > 2 }};", f"permit ({INVOKE}) when {{ 1 < principal.risk }};"),
        (
            'permit (principal is Agent in Group::"finance-agents", action == Action::"invokeTool",'
            ' resource == Tool::"ledger/pay");',
            'permit (principal is Agent, action in Action::"write", resource in McpServer::"ledger");',
        ),
        (f"permit ({INVOKE}) when {{ principal.risk > 1 }};", f"forbid ({INVOKE}) when {{ principal.risk > 1 }};"),
        (f"forbid ({INVOKE}) unless {{ context has user || principal.entry_point }};",
         f"forbid ({INVOKE}) unless {{ context has user }};"),
        (f"forbid ({INVOKE}) when {{ {AMOUNT} > 5000 }};", f"forbid ({INVOKE}) when {{ {AMOUNT} > 1000 }};"),
    ],
)  # fmt: skip
def test_a_policy_that_another_covers(kit, firm, narrow, wide):
    found = warned(kit, firm, f'@id("b-narrow") {narrow}', f'@id("a-wide") {wide}')
    assert list(found) == ["b-narrow"]
    assert "`a-wide` (platform/test.cedar:2)" in found["b-narrow"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"permit ({INVOKE}) when {{ principal.risk > 2 }};", f"permit ({INVOKE}) when {{ principal.risk < 4 }};"),
        (f"forbid ({INVOKE}) when {{ context.reentry }};", f"permit ({INVOKE});"),
        # That a set of tools holds tools is not looked at.
        (f"permit ({INVOKE});", f"permit ({INVOKE.replace('is Tool', 'in ToolSet::')}\"payments\");"),
        # A forbid on an argument leaves lists to the permit, though no call is left to it.
        (f"permit ({INVOKE}) when {{ {AMOUNT} > 5 }};", f"forbid ({INVOKE}) when {{ {AMOUNT} > 5 }};"),
        # People of different groups are asked.
        (f'@approval("finance-leads") forbid ({INVOKE}) {LIFTED};', f"permit ({INVOKE});"),
        (f'@approval("finance-leads") forbid ({INVOKE}) {LIFTED};',
         f'@approval("finance-agents") forbid ({INVOKE}) {LIFTED};'),
        (f'permit ({INVOKE.replace("is Tool", "== Tool::")}"ledger/pay");',
         f'permit ({INVOKE.replace("is Tool", "in ToolSet::")}"finance-readonly");'),
        # A person's groups come with the token.
        ('permit (principal == User::"corp|maria", action == Action::"invokeTool", resource);',
         'permit (principal in Group::"finance-leads", action == Action::"invokeTool", resource);'),
    ],
)  # fmt: skip
def test_policies_that_both_matter(kit, firm, one, other):
    assert warned(kit, firm, f'@id("a") {one}', f'@id("b") {other}') == {}


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        ('principal is Agent in Group::"finance-leads", action == Action::"delegate", resource', "no Agent that"),
        ('principal in AgentClass::"data-analyst", action == Action::"delegate", resource', ""),
        ('principal in Group::"finance-leads", action == Action::"delegate", resource', ""),
    ],
)
def test_permits_that_nothing_registered_fits(kit, firm, scope, why):
    found = warned(kit, firm, f'@id("p") permit ({scope});')
    assert list(found) == (["p"] if why else [])
    assert why in found.get("p", "")


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_sets_that_have_nothing_in_common(kit, firm, effect):
    asked = 'resource in ToolSet::"payments" && resource in ToolSet::"finance-readonly"'
    found = warned(kit, firm, f'@id("p") {effect} ({INVOKE}) when {{ {asked} }};')
    assert list(found) == (["p"] if effect == "permit" else []), "a rail may wait for what it is about"
    both = structs.replace(firm.servers["ledger"].tools["pay"], sets=("payments", "finance-readonly"))
    ledger = structs.replace(firm.servers["ledger"], tools={**firm.servers["ledger"].tools, "pay": both})
    fitting = structs.replace(firm, servers={**firm.servers, "ledger": ledger})
    assert warned(kit, fitting, f'@id("p") {effect} ({INVOKE}) when {{ {asked} }};') == {}


def test_an_approval_that_nobody_is_asked_for(kit, firm):
    asking = f'@id("asks") @approval("finance-leads") forbid ({INVOKE}) when {{ {AMOUNT} > 5000 }} {LIFTED};'
    found = warned(kit, firm, asking, f'@id("hard") forbid ({INVOKE}) when {{ {AMOUNT} > 1000 }};')
    assert list(found) == ["asks"]
    assert found["asks"].startswith("nobody is ever asked")


def test_of_two_alike_the_later_is_told(kit, firm):
    assert list(warned(kit, firm, f'@id("b") permit ({INVOKE});', f'@id("a") permit ({INVOKE});')) == ["b"]


ATOMS = st.sampled_from(
    [
        "principal.risk > 1", "principal.risk < 2", "2 <= principal.risk", "principal.risk == 1", "context.reentry",
        "!context.reentry", 'principal.risk_level == "low"', 'principal.risk_level == "medium"',
        'resource in ToolSet::"payments"', 'resource in ToolSet::"finance-readonly"',
        "context has user", "!(context has user || context.reentry)",
        f"({AMOUNT} > 1000)", f"({AMOUNT} >= 1000)", "false", "resource.destructive", "context.delegation_depth <= 2",
    ]
)  # fmt: skip
SCOPES = st.sampled_from(
    [
        ("principal is Agent", "resource is Tool"),
        ('principal is Agent in Group::"finance-agents"', 'resource in McpServer::"ledger"'),
        ('principal is Agent in Team::"platform"', 'resource == Tool::"ledger/pay"'),
        ("principal is Agent", 'resource in ToolSet::"payments"'),
        ('principal == Agent::"analyst"', 'resource in Team::"finance"'),
    ]
)
ACTIONS = st.sampled_from(['action == Action::"invokeTool"', 'action in Action::"write"', "action"])
ENDS = st.sampled_from(["permit", "permit", "forbid", "approval"])


@st.composite
def bundles(draw):
    texts = []
    for number in range(draw(st.integers(2, 6))):
        end, (who, what), action = draw(ENDS), draw(SCOPES), draw(ACTIONS)
        if "Tool" not in what and action == "action":
            action = 'action == Action::"invokeTool"'
        conditions = " && ".join(draw(st.lists(ATOMS, min_size=1, max_size=3)))
        if "args" in conditions or "resource." in conditions:
            action, what = (
                'action == Action::"invokeTool"',
                what if what.startswith("resource ==") else "resource is Tool",
            )
        head = '@approval("finance-leads") forbid' if end == "approval" else end
        tail = f" {LIFTED}" if end == "approval" else ""
        texts.append(f'@id("p{number}") {head} ({who}, {action}, {what}) when {{ {conditions} }}{tail};')
    return texts


HOPS = [
    (who, resource, arguments, user, reentry)
    for who in ("analyst", "planner", "auditor")
    for resource, arguments in ((BALANCE, None), (PAY, {"amount": 1000, "to": "x"}), (PAY, {"amount": 1001, "to": "x"}))
    for user in (True, False)
    for reentry in (True, False)
]


@settings(max_examples=max(40, settings.default.max_examples // 10), deadline=None)
@given(bundles())
def test_what_is_told_to_decide_nothing_decides_nothing(kit, firm, texts):
    """Leaving out all policies that are told, one by one, changes no verdict, nobody who is asked, and no list."""
    whole = compile_bundle(kit.files(*texts), kit.SCHEMA, firm)
    if not isinstance(whole, Bundle):
        return
    for warning in whole.warnings:
        rest = kit.loaded(kit.files(*(text for text in texts if f'@id("{warning.policy}")' not in text)), firm)
        for who, resource, arguments, user, reentry in HOPS:
            hop = kit.hop(who, "invokeTool", resource, arguments=arguments, reentry=reentry)
            hop = hop if user else structs.replace(hop, user=None)
            one, other = decide(hop, whole, firm, 1), decide(hop, rest, firm, 1)
            assert (type(one), asked(one)) == (type(other), asked(other)), (warning, who, resource, arguments)
            listing = kit.hop(who, "listTools", Uid("McpServer", "ledger"), reentry=reentry)
            assert may_use(listing, whole, firm, resource) == may_use(listing, rest, firm, resource), warning


def asked(found):
    return found.groups if isinstance(found, Ask) else None
