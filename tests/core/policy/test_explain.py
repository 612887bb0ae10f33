"""Near misses say which clause failed, with the value that made it fail."""

import pytest
from msgspec import structs

from gateway.core.model import Uid
from gateway.core.policy.explain import near_misses

INVOKE = 'principal is Agent, action == Action::"invokeTool", resource is Tool'
PAY = Uid("Tool", "ledger/pay")


def lines(kit, registry, policies, hop, **options):
    return near_misses(hop, kit.loaded(kit.files(*policies), registry), registry, **options)


def one(kit, registry, condition, **hop):
    (line,) = lines(kit, registry, [f'@id("p") permit ({INVOKE}) when {{ {condition} }};'], kit.hop(**hop))
    return line.removeprefix("permit `p` failed: ")


def test_missions_policy_for_a_medium_risk_agent(kit, firm):
    agents = {**firm.agents, "analyst": structs.replace(firm.agents["analyst"], risk_level="medium")}
    registry = structs.replace(firm, agents=agents)
    text = '@id("finance-read")' + kit.MISSION
    assert lines(kit, registry, [text], kit.hop()) == (
        'permit `finance-read` failed: principal.risk_level is "medium", needs "low"',
    )


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("context.delegation_depth > 3", "context.delegation_depth is 1, needs more than 3"),
        ("3 < context.delegation_depth", "context.delegation_depth is 1, needs more than 3"),
        ("context.delegation_depth >= 3", "context.delegation_depth is 1, needs at least 3"),
        ("context.delegation_depth <= 0", "context.delegation_depth is 1, needs at most 0"),
        ('principal.risk_level != "low"', 'principal.risk_level is "low", needs anything but "low"'),
        ("principal.risk > resource.risk", "principal.risk is 1, needs more than resource.risk, which is 1"),
        ('principal in Group::"finance-leads"', 'principal is not in Group::"finance-leads"'),
        ('principal.team == Team::"platform"', 'principal.team is Team::"finance", needs Team::"platform"'),
        ("context has purpose", "context has no purpose"),
        ("principal.entry_point", "principal.entry_point is false, needs true"),
        ("!resource.read_only", "resource.read_only is true, needs false"),
        ('!(principal.risk_level == "low")', 'principal.risk_level is "low", needs anything but "low"'),
        ("!(context.delegation_depth < 3)", "context.delegation_depth is 1, needs at least 3"),
        ("!(3 > context.delegation_depth)", "context.delegation_depth is 1, needs at least 3"),
        (
            '!(principal in Group::"finance-agents")',
            'principal is in Group::"finance-agents", needs to be outside',
        ),
        ("!(context has user)", "context has user, needs to be without"),
        (
            '!(principal.capabilities.contains("finance"))',
            'principal.capabilities is ["finance"], needs not to contain "finance"',
        ),
        ('principal.capabilities.contains("audit")', 'principal.capabilities is ["finance"], needs to contain "audit"'),
        (
            'context.now < datetime("2020-01-01")',
            'context.now is 2026-11-18T11:06:40.123Z, needs less than datetime("2020-01-01")',
        ),
        (
            "context.reentry || principal.entry_point",
            "needs context.reentry true (is false), or principal.entry_point true (is false)",
        ),
        (
            'principal.risk_level == "high" || principal.team == Team::"platform"',
            'needs principal.risk_level "high" (is "low"), or principal.team Team::"platform" (is Team::"finance")',
        ),
        (
            'context.delegation_depth > 3 || context has purpose || principal in Group::"finance-leads"',
            "needs context.delegation_depth more than 3 (is 1), or context to have purpose, "
            'or principal to be in Group::"finance-leads"',
        ),
        (
            "principal.risk > resource.risk || context.reentry",
            "needs principal.risk more than resource.risk (is 1, against 1), or context.reentry true (is false)",
        ),
        (
            "principal.capabilities.isEmpty() || context.reentry",
            "needs that principal.capabilities.isEmpty(), or context.reentry true (is false)",
        ),
        (
            "context.reentry && principal.entry_point || context has purpose",
            "needs context to have purpose, or context.reentry true (is false) "
            "and principal.entry_point true (is false)",
        ),
        (
            'principal.risk_level == "low" && context.reentry || principal.entry_point',
            "needs context.reentry true (is false), or principal.entry_point true (is false)",
        ),
        ("context.reentry || false", "context.reentry is false, needs true"),
        ("false", "condition not satisfied: false"),
        (
            "context.reentry || principal.entry_point || context has purpose || context.delegation_depth > 3",
            "needs context.reentry true (is false), or principal.entry_point true (is false), "
            "or context to have purpose, and 1 more",
        ),
        (
            "context.reentry && principal.entry_point && context has purpose && context.delegation_depth > 3 || false",
            "context.reentry is false, needs true, and principal.entry_point is false, needs true, "
            "and context has no purpose, and 1 more need",
        ),
        (
            '!(principal.risk_level == "low" && context has user)',
            'needs principal.risk_level anything but "low" (is "low"), or context to be without user',
        ),
        (
            '!(principal.risk_level == "low" || context has user)',
            'principal.risk_level is "low", needs anything but "low"; context has user, needs to be without',
        ),
        ("!(!context.reentry || false)", "context.reentry is false, needs true"),
        (
            "if context has user then principal.entry_point else context.reentry",
            "principal.entry_point is false, needs true while context has user",
        ),
        (
            "!(if context.reentry then true else context has user)",
            "context has user, needs to be without while !context.reentry",
        ),
        (
            "context has purpose || (if context has user then principal.entry_point else true)",
            "needs context to have purpose, or principal.entry_point true (is false) while context has user",
        ),
        (
            "if context has user then false else true",
            "condition not satisfied: if context has user then false else true",
        ),
    ],
)
def test_reasons(kit, firm, condition, reason):
    assert one(kit, firm, condition) == reason


def test_unless_is_explained_by_its_alternatives(kit, firm):
    policy = f'@id("p") permit ({INVOKE}) unless {{ principal.risk_level == "low" && context has user }};'
    assert lines(kit, firm, [policy], kit.hop()) == (
        'permit `p` failed: needs principal.risk_level anything but "low" (is "low"), or context to be without user',
    )


def test_alternatives_beyond_counting_are_told_so(kit, firm):
    many = " || ".join(f"context.delegation_depth == {depth}" for depth in range(2, 92))
    wide = f"({many}) && (context.reentry || context has purpose) || false"
    assert one(kit, firm, wide).endswith("(is false), and at least 97 more")


def test_what_could_not_be_evaluated_is_told_as_it_is(kit, firm):
    guarded = "context has args.ledger.pay && context.args.ledger.pay.amount > 3"
    assert one(kit, firm, f"({guarded}) || context.reentry") == (
        "needs context.reentry true (is false), or context.args.ledger to have pay "
        "and that context.args.ledger.pay.amount > 3"
    )


def test_scopes_are_explained(kit, firm):
    policy = '@id("p") permit (principal is User, action == Action::"invokeTool", resource == Tool::"ledger/pay");'
    assert lines(kit, firm, [policy], kit.hop()) == (
        'permit `p` failed: principal is of type Agent, needs User; resource is Tool::"ledger/read_balance", '
        'needs Tool::"ledger/pay"',
    )


def test_the_nearest_come_first_and_no_more_than_asked_for(kit, firm):
    far = f'@id("a-far") permit ({INVOKE}) when {{ context.reentry && principal.entry_point }};'
    near = f'@id("b-near") permit ({INVOKE}) when {{ context.reentry }};'
    other = '@id("c-other") permit (principal, action == Action::"delegate", resource);'
    found = lines(kit, firm, [far, near, other], kit.hop())
    assert [line.split("`")[1] for line in found] == ["b-near", "a-far"]
    assert lines(kit, firm, [far, near, other], kit.hop(), limit=1) == found[:1]


def test_opening_a_server_is_explained_by_its_tools(kit, firm):
    policy = f'@id("p") permit ({INVOKE}) when {{ context.reentry }};'
    hop = kit.hop("analyst", "discover", Uid("McpServer", "ledger"))
    assert lines(kit, firm, [policy], hop) == ("permit `p` failed: context.reentry is false, needs true",)


def test_many_failures_are_cut_short(kit, firm):
    condition = " && ".join(
        ["context.reentry", "principal.entry_point", "context.delegation_depth > 3", "principal.risk > 1"]
    )
    assert one(kit, firm, condition).endswith("; and 1 more")


def test_sensitive_values_are_not_told(kit, firm):
    ledger = firm.servers["ledger"]
    pay = structs.replace(ledger.tools["pay"], sensitive=("to",))
    server = structs.replace(ledger, tools={**ledger.tools, "pay": pay})
    registry = structs.replace(firm, servers={**firm.servers, "ledger": server})
    condition = 'context has args.ledger.pay && context.args.ledger.pay.to == "bob"'
    line = one(kit, registry, condition, resource=PAY, arguments={"amount": 1, "to": "secret-account"})
    assert "secret-account" not in line
    line = one(
        kit,
        registry,
        f"({condition}) || context.reentry",
        resource=PAY,
        arguments={"amount": 1, "to": "secret-account"},
    )
    assert 'context.args.ledger.pay.to "bob" (is {' in line
    assert "secret-account" not in line


def test_what_could_not_be_decided_has_no_near_misses(kit, firm):
    assert lines(kit, firm, [f'@id("p") permit ({INVOKE});'], kit.hop(resource=Uid("Tool", "ledger/x"))) == ()
