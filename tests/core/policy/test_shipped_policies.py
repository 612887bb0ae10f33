"""The policies in ``policies/``: the four rules of policy at scale, each on its own and all together."""

import pytest
from msgspec import structs

from gateway.core.model import Ask, Deny, Permit, Uid
from gateway.core.policy.decide import decide, may_use

LEDGER, PAY = Uid("McpServer", "ledger"), Uid("Tool", "ledger/pay")


def with_agents(registry, **changes):
    agents = {name: structs.replace(registry.agents[name], **change) for name, change in changes.items()}
    return structs.replace(registry, agents={**registry.agents, **agents})


def only(kit, registry, path):
    (source,) = [source for source in kit.shipped() if source.path == path]
    return kit.loaded([source], registry)


def call(kit, bundle, who, action, resource, **more):
    return decide(kit.hop(who, action, resource, **more), bundle, bundle.registry, 1)


def permitted(found):
    return [policy.id for policy in found.policies] if isinstance(found, Permit) else []


def denied(found):
    return [policy.id for policy in found.policies] or [found.reason] if isinstance(found, Deny) else []


def test_all_load_without_a_warning(kit, firm):
    bundle = kit.loaded(kit.shipped(), firm)
    assert bundle.warnings == ()
    assert {policy.tier for policy in bundle.policies} == {"guardrails", "platform", "teams", "baseline"}


def test_all_but_the_example_team_load_with_any_registry(kit):
    registry = kit.registry_of(agents=[], servers=[], people=[])
    assert kit.loaded(kit.shipped("guardrails", "platform", "baseline"), registry).warnings == ()


@pytest.mark.parametrize(
    ("caller", "callee", "rule"),
    [
        ("low", "low", "low-risk-agents-call-low-risk-agents"),
        ("low", "medium", None),
        ("low", "high", None),
        ("medium", "low", "medium-risk-agents-call-low-and-medium-risk-agents"),
        ("medium", "medium", "medium-risk-agents-call-low-and-medium-risk-agents"),
        ("medium", "high", None),
        ("high", "low", None),
    ],
)
def test_low_risk_agents_call_low_risk_agents_and_medium_risk_both(kit, firm, caller, callee, rule):
    registry = with_agents(firm, planner={"risk_level": caller}, auditor={"risk_level": callee})
    found = call(kit, only(kit, registry, "platform/risk.cedar"), "planner", "delegate", Uid("Agent", "auditor"))
    assert permitted(found) == ([rule] if rule else [])


@pytest.mark.parametrize(
    ("ours", "theirs", "risk", "allowed"),
    [
        (("a", "b"), ("b", "c"), "medium", True),
        (("a",), ("b",), "medium", False),
        ((), (), "medium", False),
        (("a",), ("a",), "high", False),
    ],
)
def test_agents_call_agents_with_overlapping_capabilities(kit, firm, ours, theirs, risk, allowed):
    registry = with_agents(firm, planner={"capabilities": ours}, auditor={"capabilities": theirs, "risk_level": risk})
    found = call(
        kit, only(kit, registry, "platform/capabilities.cedar"), "planner", "delegate", Uid("Agent", "auditor")
    )
    assert bool(permitted(found)) is allowed


def test_agents_of_a_team_use_the_servers_of_that_team(kit, firm):
    bundle = only(kit, firm, "platform/teams.cedar")
    ours, theirs = Uid("Tool", "ledger/list_entries"), Uid("Tool", "reports/publish_report")
    assert permitted(call(kit, bundle, "analyst", "invokeTool", ours)) == ["agents-use-the-servers-of-their-team"]
    assert isinstance(call(kit, bundle, "analyst", "invokeTool", theirs), Deny)
    assert isinstance(call(kit, bundle, "auditor", "invokeTool", ours), Deny)
    assert permitted(call(kit, bundle, "auditor", "invokeTool", theirs))


def test_a_new_agent_is_governed_at_once(kit, firm):
    newcomer = kit.agent("newcomer", team="platform")
    registry = structs.replace(firm, agents={**firm.agents, "newcomer": newcomer})
    bundle = kit.loaded(kit.shipped(), registry)
    assert permitted(call(kit, bundle, "newcomer", "delegate", Uid("Agent", "analyst")))
    assert isinstance(call(kit, bundle, "newcomer", "delegate", Uid("Agent", "auditor")), Deny)


def test_production_agents_call_only_production_tools(kit, firm):
    report = Uid("Tool", "reports/publish_report")
    bundle = kit.loaded(kit.shipped(), firm)
    assert denied(call(kit, bundle, "auditor", "invokeTool", report)) == [
        "production-agents-call-only-production-tools"
    ]
    staging = kit.loaded(kit.shipped(), with_agents(firm, auditor={"environment": "staging"}))
    assert permitted(call(kit, staging, "auditor", "invokeTool", report)) == ["agents-use-the-servers-of-their-team"]


def test_finance_reads_and_lists_what_it_may_call(kit, firm):
    bundle = kit.loaded(kit.shipped(), firm)
    chain = ("planner", "analyst")
    assert "finance-read" in permitted(call(kit, bundle, "analyst", "invokeTool", None, chain=chain))
    assert permitted(call(kit, bundle, "analyst", "discover", LEDGER, chain=chain))
    listing = kit.hop("analyst", "listTools", LEDGER, chain=chain)
    tools = firm.servers["ledger"].tools
    assert all(may_use(listing, bundle, firm, tool.uid) for tool in tools.values())
    assert denied(call(kit, bundle, "auditor", "invokeTool", None)) == ["no_permit"]
    assert denied(call(kit, bundle, "auditor", "discover", LEDGER)) == ["no_permit"]


@pytest.mark.parametrize(
    ("amount", "kind", "ids"),
    [
        (1000, Permit, ["agents-use-the-servers-of-their-team", "finance-pay"]),
        (1001, Ask, ["large-payments-need-a-person"]),
        (100000, Ask, ["large-payments-need-a-person"]),
        (100001, Deny, ["huge-payments-are-not-for-agents", "large-payments-need-a-person"]),
    ],
)
def test_payments(kit, firm, amount, kind, ids):
    bundle = kit.loaded(kit.shipped(), firm)
    found = call(kit, bundle, "analyst", "invokeTool", PAY, arguments={"amount": amount, "to": "x", "memo": None})
    assert (type(found), [policy.id for policy in found.policies]) == (kind, ids)
    if isinstance(found, Ask):
        assert found.groups == ("finance-leads",)


def test_guardrails_hold_whatever_is_permitted(kit, firm):
    everything = kit.files('@id("everything") permit (principal, action, resource);')
    bundle = kit.loaded([*everything, *kit.shipped("guardrails")], firm)
    analyst = Uid("Agent", "analyst")
    cases = {
        "suspended-agents-do-nothing": call(kit, bundle, "archivist", "discover", LEDGER),
        "nobody-delegates-to-suspended-agents": call(kit, bundle, "planner", "delegate", Uid("Agent", "archivist")),
        "agents-act-for-somebody": call(kit, bundle, "planner", "delegate", analyst, user=None),
        "no-delegation-loops": call(kit, bundle, "planner", "delegate", analyst, chain=("analyst", "planner")),
        "high-risk-agents-destroy-nothing": call(
            kit, bundle, "analyst", "invokeTool", PAY, arguments={}, chain=("archivist", "analyst")
        ),
    }
    for name, found in cases.items():
        assert denied(found) == [name]
    assert denied(call(kit, bundle, "planner", "delegate", analyst, reentry=True)) == ["no-delegation-loops"]
    assert permitted(call(kit, bundle, "planner", "delegate", analyst)) == ["everything"]
    assert permitted(call(kit, bundle, None, "delegate", analyst)) == ["everything"]


@pytest.mark.parametrize(("tag", "allowed"), [("true", True), ("false", False)])
def test_autonomous_agents_need_nobody_to_act_for(kit, firm, tag, allowed):
    bundle = kit.loaded(kit.shipped(), with_agents(firm, planner={"tags": {"autonomous": tag}}))
    found = call(kit, bundle, "planner", "delegate", Uid("Agent", "analyst"), user=None)
    assert isinstance(found, Permit) is allowed


def test_people_start_at_entry_points(kit, firm):
    bundle = kit.loaded(kit.shipped(), firm)
    assert permitted(call(kit, bundle, None, "delegate", Uid("Agent", "planner"))) == ["people-start-at-entry-points"]
    assert permitted(call(kit, bundle, None, "discover", Uid("Agent", "planner"))) == ["people-start-at-entry-points"]
    assert denied(call(kit, bundle, None, "delegate", Uid("Agent", "analyst"))) == ["no_permit"]


def test_only_agents_that_are_tagged_for_it_set_webhooks(kit, firm):
    registry = with_agents(firm, planner={"tags": {"webhooks": "true"}})
    bundle = only(kit, registry, "platform/push.cedar")
    agent = Uid("Agent", "auditor")
    assert permitted(call(kit, bundle, "planner", "createPushConfig", agent)) == ["agents-with-webhooks-set-them"]
    assert denied(call(kit, bundle, "analyst", "createPushConfig", agent)) == ["no_permit"]
    for action in ("getPushConfig", "listPushConfigs", "deletePushConfig"):
        assert permitted(call(kit, bundle, "analyst", action, agent)) == ["callers-see-and-delete-their-webhooks"]
    assert permitted(call(kit, bundle, "analyst", "notify", agent)) == ["agents-notify-who-asked"]
    assert denied(call(kit, bundle, "analyst", "notify", LEDGER)) == ["no_permit"]
