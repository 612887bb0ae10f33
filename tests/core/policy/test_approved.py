"""Decisions with what people said: a yes takes away the forbids of its groups, and nothing else."""

from msgspec import structs

from gateway.core.model import Ask, Deny, Given, Permit, Uid
from gateway.core.policy.decide import decide

INVOKE = 'principal is Agent, action == Action::"invokeTool", resource is Tool'
ALL = f'@id("all") permit ({INVOKE});'
ASKS = [
    f'@id("{group}") @approval("{group}") forbid ({INVOKE}) unless {{ context.approved }};'
    for group in ("finance-agents", "finance-leads")
]
MARIA = Uid("User", "corp|maria")


def said(kit, firm, policies, groups, *, guardrails=(), approvers=(MARIA,), **change):
    """The decision on a hop that these groups approved."""
    files = [*kit.files(*policies, path="platform/test.cedar"), *kit.files(*guardrails, path="guardrails/test.cedar")]
    given = Given(id="a", groups=frozenset(groups), approvers=tuple(approvers), until=2**31)
    hop = structs.replace(kit.hop(**change), given=given)
    return decide(hop, kit.loaded(files, firm), firm, 7)


def test_the_yes_of_all_groups_permits(kit, firm):
    found = said(kit, firm, [ALL, *ASKS], ["finance-agents", "finance-leads"])
    assert isinstance(found, Permit)
    assert [policy.id for policy in found.policies] == ["all", "finance-agents", "finance-leads"]


def test_the_yes_of_some_groups_asks_all(kit, firm):
    found = said(kit, firm, [ALL, *ASKS], ["finance-leads"])
    assert isinstance(found, Ask)
    assert found.groups == ("finance-agents", "finance-leads")


def test_a_yes_permits_nothing_by_itself(kit, firm):
    found = said(kit, firm, ASKS, ["finance-agents", "finance-leads"])
    assert (type(found), found.reason) == (Deny, "forbidden")
    found = said(kit, firm, [], ["finance-agents", "finance-leads"])
    assert (type(found), found.reason) == (Deny, "no_permit")


def test_no_yes_lifts_another_forbid(kit, firm):
    found = said(kit, firm, [ALL, *ASKS, f'@id("no") forbid ({INVOKE});'], ["finance-agents", "finance-leads"])
    assert (type(found), found.reason) == (Deny, "forbidden")


def test_guardrails_see_who_said_it(kit, firm):
    four_eyes = f'@id("not-maria") forbid ({INVOKE}) when {{ context.approvers.contains(User::"corp|maria") }};'
    both = ["finance-agents", "finance-leads"]
    found = said(kit, firm, [ALL, *ASKS], both, guardrails=[four_eyes])
    assert (type(found), found.reason, [policy.id for policy in found.policies]) == (Deny, "forbidden", ["not-maria"])
    assert isinstance(said(kit, firm, [ALL, *ASKS], both, guardrails=[four_eyes], approvers=()), Permit)
    others = (Uid("User", "corp|nobody-registered"),)
    assert isinstance(said(kit, firm, [ALL, *ASKS], both, guardrails=[four_eyes], approvers=others), Permit)


def test_answers_are_not_remembered_across_approvers(kit, firm):
    four_eyes = f'@id("not-maria") forbid ({INVOKE}) when {{ context.approvers.contains(User::"corp|maria") }};'
    files = [
        *kit.files(ALL, *ASKS, path="platform/test.cedar"), *kit.files(four_eyes, path="guardrails/test.cedar"),
    ]  # fmt: skip
    bundle, kinds = kit.loaded(files, firm), []
    for who in ((), (MARIA,), (), (MARIA,)):
        given = Given(id="a", groups=frozenset({"finance-agents", "finance-leads"}), approvers=who, until=2**31)
        kinds.append(type(decide(structs.replace(kit.hop(), given=given), bundle, firm, 1)))
    assert kinds == [Permit, Deny, Permit, Deny]


def test_all_actions_of_a_call_are_asked_for_at_once_and_none_where_one_is_denied(kit, firm):
    planner = Uid("Agent", "planner")
    policies = [
        '@id("all") permit (principal is Agent, action, resource is Agent);',
        '@id("one") @approval("finance-leads") forbid (principal, action == Action::"delegate", resource is Agent) '
        "unless { context.approved };",
        '@id("two") @approval("finance-agents") forbid (principal, action == Action::"createPushConfig", resource) '
        "unless { context.approved };",
    ]
    hop = kit.hop("analyst", "delegate", planner)
    hop = structs.replace(hop, call=structs.replace(hop.call, also=(("createPushConfig", planner),)))
    bundle = kit.loaded(kit.files(*policies, path="platform/test.cedar"), firm)
    found = decide(hop, bundle, firm, 1)
    assert isinstance(found, Ask)
    assert found.groups == ("finance-agents", "finance-leads")
    given = Given(id="a", groups=frozenset(found.groups), approvers=(), until=2**31)
    assert isinstance(decide(structs.replace(hop, given=given), bundle, firm, 1), Permit)
    no = '@id("no") forbid (principal, action == Action::"createPushConfig", resource);'
    denying = kit.loaded(kit.files(*policies, no, path="platform/test.cedar"), firm)
    assert isinstance(decide(hop, denying, firm, 1), Deny)
