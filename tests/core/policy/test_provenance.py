"""Records say exactly what a determining policy read, and never a sensitive value."""

import pytest
from msgspec import structs

from gateway.core.model import Permit, Uid
from gateway.core.policy.decide import decide

INVOKE = 'principal is Agent, action == Action::"invokeTool", resource is Tool'
SECRET = "ES91-2100-0418"


def matched(kit, registry, condition, key=None, **changes):
    hop = kit.hop(resource=Uid("Tool", "ledger/pay"), arguments={"amount": 5, "to": SECRET}, **changes)
    bundle = kit.loaded(kit.files(f'@id("p") permit ({INVOKE}) when {{ {condition} }};'), registry, key)
    found = decide(hop, bundle, registry, 1)
    assert isinstance(found, Permit)
    (policy,) = found.policies
    scope = {"principal is Agent": True, "resource is Tool": True}
    values = {match.path: match.value for match in policy.matched}
    assert scope.items() <= values.items()
    return {path: value for path, value in values.items() if path not in scope}


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ('principal.risk_level == "low"', {"principal.risk_level": "low"}),
        ('principal in Group::"finance-agents"', {'principal in Group::"finance-agents"': True}),
        ('!(principal in Group::"finance-leads")', {'principal in Group::"finance-leads"': False}),
        (
            'principal in [Group::"finance-leads", Group::"finance-agents"]',
            {'principal in [Group::"finance-leads", Group::"finance-agents"]': True},
        ),
        ("resource in principal.team", {"resource in principal.team": True, "principal.team": 'Team::"finance"'}),
        (
            'principal.owner in Group::"finance-leads"',
            {'principal.owner in Group::"finance-leads"': True, "principal.owner": 'User::"corp|maria"'},
        ),
        (
            'principal.owner has email && principal.owner.email like "*@example.test"',
            {"principal.owner.email": "maria@example.test"},
        ),
        (
            "context has args.ledger.pay && context.args.ledger.pay.amount < 10",
            {"context.args.ledger.pay.amount": 5},
        ),
        ("!(context has purpose)", {"context has purpose": False}),
        ('principal.hasTag("x") || true', {'principal.hasTag("x")': False}),
        ("context.chain.contains(principal)", {"context.chain": ['Agent::"analyst"'], "principal": 'Agent::"analyst"'}),
        ('context.now > datetime("2020-01-01")', {"context.now": "2026-11-18T11:06:40.123Z"}),
        ('principal.capabilities.containsAny(["finance"])', {"principal.capabilities": ["finance"]}),
        (
            'resource.risk_level == "medium" || principal.purpose == "x"',
            {"resource.risk_level": "medium", "principal.purpose": "tests"},
        ),
    ],
)
def test_exactly_what_was_read(kit, firm, condition, values):
    assert matched(kit, firm, condition) == values


def test_tags_are_recorded(kit, firm):
    tagged = structs.replace(firm.agents["analyst"], tags={"zone": "eu"})
    registry = structs.replace(firm, agents={**firm.agents, "analyst": tagged})
    found = matched(kit, registry, 'principal.hasTag("zone") && principal.getTag("zone") == "eu"')
    assert found == {'principal.hasTag("zone")': True, 'principal.getTag("zone")': "eu"}


def sensitive(firm):
    ledger = firm.servers["ledger"]
    pay = structs.replace(ledger.tools["pay"], sensitive=("to",))
    return structs.replace(
        firm, servers={**firm.servers, "ledger": structs.replace(ledger, tools={**ledger.tools, "pay": pay})}
    )


READS_TO = f'context has args.ledger.pay && context.args.ledger.pay.to == "{SECRET}"'
READS_ALL = "context has args.ledger.pay && [context.args.ledger.pay].contains(context.args.ledger.pay)"


def test_sensitive_arguments_are_recorded_as_keyed_digests(kit, firm):
    registry = sensitive(firm)
    one, two = (matched(kit, registry, READS_TO, key)["context.args.ledger.pay.to"] for key in (b"a" * 32, b"b" * 32))
    assert set(one) == {"sha256"}
    assert len(one["sha256"]) == 64
    assert one != two


def test_without_a_key_they_are_left_out(kit, firm):
    assert matched(kit, sensitive(firm), READS_TO)["context.args.ledger.pay.to"] == {"redacted": True}


@pytest.mark.parametrize("key", [None, b"k" * 32])
def test_they_do_not_slip_out_within_a_larger_record(kit, firm, key):
    found = matched(kit, sensitive(firm), READS_ALL, key)
    assert found["context.args.ledger.pay"]["amount"] == 5
    assert SECRET not in repr(found)


def test_derived_permits_tell_what_permitted_the_tool(kit, firm):
    bundle = kit.loaded(kit.files(f'@id("p") permit ({INVOKE}) when {{ resource.name == "pay" }};'), firm)
    found = decide(kit.hop("analyst", "discover", Uid("McpServer", "ledger")), bundle, firm, 1)
    assert ("resource.name", "pay") in [(match.path, match.value) for match in found.policies[0].matched]
