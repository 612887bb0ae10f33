"""Verdicts: default deny, forbid over permit, approval, derived actions, and refusals before Cedar is asked."""

import pytest
from msgspec import structs

from gateway.core.model import Ask, Deny, Permit, SpiffeId, Uid, User
from gateway.core.policy.decide import decide, may_use

INVOKE = 'principal is Agent, action == Action::"invokeTool", resource is Tool'
ALL = f'@id("all") permit ({INVOKE});'
LEDGER, PLANNER = Uid("McpServer", "ledger"), Uid("Agent", "planner")
PAY = Uid("Tool", "ledger/pay")


def verdict(kit, registry, policies, hop, path="platform/test.cedar"):
    return decide(hop, kit.loaded(kit.files(*policies, path=path), registry), registry, 7)


def test_nothing_permits_by_itself(kit, firm):
    found = verdict(kit, firm, [], kit.hop())
    assert isinstance(found, Deny)
    assert (found.reason, found.policies, found.generation) == ("no_permit", (), 7)


def test_missions_first_policy(kit, firm):
    bundle = kit.loaded([*kit.files(kit.MISSION, path="teams/finance/read.cedar")], firm)
    permit = decide(kit.hop("analyst", chain=("planner", "analyst")), bundle, firm, 1)
    assert isinstance(permit, Permit)
    assert permit.bundle == bundle.digest
    (policy,) = permit.policies
    assert (policy.id, policy.tier, policy.file) == ("teams/finance/read#0", "teams", "teams/finance/read.cedar")
    assert [(match.path, match.value) for match in policy.matched] == [
        ('principal in Group::"finance-agents"', True),
        ('resource in ToolSet::"finance-readonly"', True),
        ("principal.risk_level", "low"),
        ("context.delegation_depth", 2),
    ]
    deep = ("planner", "analyst", "planner", "analyst")
    assert isinstance(decide(kit.hop("analyst", chain=deep), bundle, firm, 1), Deny)
    assert isinstance(decide(kit.hop("auditor"), bundle, firm, 1), Deny)
    assert isinstance(decide(kit.hop("analyst", resource=PAY, arguments={}), bundle, firm, 1), Deny)


def test_missions_first_policy_lets_a_client_open_and_list(kit, firm):
    bundle = kit.loaded([*kit.files(kit.MISSION, path="teams/finance/read.cedar")], firm)
    for action in ("discover", "notify", "listTools"):
        opened = decide(kit.hop("analyst", action, LEDGER), bundle, firm, 1)
        assert isinstance(opened, Permit)
        assert [policy.id for policy in opened.policies] == ["teams/finance/read#0"]
    listing = kit.hop("analyst", "listTools", LEDGER)
    tools = firm.servers["ledger"].tools
    assert [name for name in tools if may_use(listing, bundle, firm, tools[name].uid)] == [
        "read_balance",
        "list_entries",
    ]


def test_a_forbid_wins(kit, firm):
    found = verdict(kit, firm, [ALL, f'@id("no") forbid ({INVOKE});'], kit.hop())
    assert isinstance(found, Deny)
    assert found.reason == "forbidden"
    assert [policy.id for policy in found.policies] == ["no"]


def test_determining_policies_are_sorted(kit, firm):
    ids = ["zeta", "alpha", "mid", "beta"]
    found = verdict(kit, firm, [ALL.replace("all", name) for name in ids], kit.hop())
    assert [policy.id for policy in found.policies] == sorted(ids)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"resource": Uid("Tool", "ledger/unknown")}, "tool_unknown"),
        ({"resource": Uid("Tool", "ledger")}, "tool_unknown"),
        ({"action": "readResource", "resource": Uid("McpResource", "file:///x")}, "no_permit"),
        ({"action": "delegate", "resource": Uid("Agent", "stranger")}, "no_permit"),
        ({"action": "discover", "resource": Uid("McpServer", "stranger")}, "no_permit"),
        ({"who": "stranger", "chain": ()}, "agent_unregistered"),
        ({"chain": ("stranger", "analyst")}, "policy_error"),
        ({"who": None, "user": None}, "policy_error"),
        ({"action": "nonsense"}, "policy_error"),
        ({"action": "invokeTool", "resource": LEDGER}, "policy_error"),
        ({"action": "delegate"}, "policy_error"),
        ({"action": "readFile"}, "policy_error"),
    ],
)
def test_what_is_not_registered_or_does_not_fit_is_denied(kit, firm, change, reason):
    policies = ['@id("all") permit (principal, action, resource);']
    found = verdict(kit, firm, policies, kit.hop(**change))
    assert isinstance(found, Deny)
    assert (found.reason, found.policies) == (reason, ())


def test_a_peer_without_a_registered_name_is_not_a_person(kit, firm):
    known = kit.hop("analyst")
    found = verdict(kit, firm, ['@id("all") permit (principal, action, resource);'], structs.replace(known, agent=None))
    assert (type(found), found.reason) == (Deny, "agent_unregistered")


def test_a_bundle_decides_for_its_own_registry_only(kit, firm):
    bundle = kit.loaded(kit.files(ALL), firm)
    other = structs.replace(firm, teams=frozenset({"finance", "platform", "sales"}))
    assert decide(kit.hop(), bundle, other, 1).reason == "policy_error"
    assert not may_use(kit.hop("analyst", "listTools", LEDGER), bundle, other, firm.servers["ledger"].tools["pay"].uid)
    assert isinstance(decide(kit.hop(), bundle, structs.replace(firm), 1), Permit)


OWNER = f'@id("owners") forbid ({INVOKE}) when {{ principal.owner in Group::"finance-leads" }};'


def test_an_owner_that_is_looked_into_must_be_registered(kit, firm):
    orphan = structs.replace(firm.agents["analyst"], owner="corp|gone")
    registry = structs.replace(firm, agents={**firm.agents, "analyst": orphan})
    found = verdict(kit, registry, [ALL, OWNER], kit.hop())
    assert found.reason == "policy_error"
    assert "principal.owner" in found.detail
    assert isinstance(verdict(kit, registry, [ALL], kit.hop()), Permit)
    assert verdict(kit, firm, [ALL, OWNER], kit.hop()).reason == "forbidden"


def test_groups_of_token_and_registry_are_merged_and_the_token_wins(kit, firm):
    user = User(
        issuer="https://login.example", idp="corp", subject="maria", email="new@x", groups=("visitors",), roles=("r",)
    )
    conditions = [
        'context.user in Group::"finance-leads"',
        'context.user in Team::"finance"',
        'context.user has email && context.user.email == "new@x"',
        'context.user.roles.contains("r")',
    ]
    policies = [f'@id("p{n}") permit ({INVOKE}) when {{ context has user && {c} }};' for n, c in enumerate(conditions)]
    found = verdict(kit, firm, policies, kit.hop(user=user))
    assert [policy.id for policy in found.policies] == ["p0", "p1", "p2", "p3"]


def test_a_user_whom_nobody_registered_brings_groups(kit, firm):
    user = User(issuer="https://login.example", idp="other", subject="x", groups=("finance-leads", "unheard-of"))
    policy = f'@id("p") permit ({INVOKE}) when {{ context has user && context.user in Group::"finance-leads" }};'
    assert isinstance(verdict(kit, firm, [policy], kit.hop(user=user)), Permit)
    assert isinstance(verdict(kit, firm, [policy], kit.hop(user=structs.replace(user, groups=()))), Deny)


def test_a_person_is_the_principal_of_a_user_only_client(kit, firm):
    scope = 'principal is User in Group::"finance-leads", action == Action::"delegate", resource is Agent'
    policy = f'@id("p") permit ({scope});'
    assert isinstance(verdict(kit, firm, [policy], kit.hop(None, "delegate", PLANNER)), Permit)
    assert isinstance(verdict(kit, firm, [policy], kit.hop("analyst", "delegate", PLANNER)), Deny)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("context.delegation_depth == 2", True),
        ('context.chain.containsAll([Agent::"planner", Agent::"analyst"])', True),
        ('context.chain.contains(Agent::"auditor")', False),
        ("context.chain_max_risk == 2", True),
        ("context.reentry", True),
        ('context.scopes == ["ledger/read_balance"]', True),
        ('context.protocol == "mcp"', True),
        ('context.now == datetime("2026-11-18T11:06:40.123Z")', True),
        ('context.now > datetime("2026-11-18T11:06:40.123Z")', False),
        ('context has purpose && context.purpose == "tests"', True),
        ("context.approvers.isEmpty()", None),
        ('principal.trust_domain == "example.test"', True),
        ("principal.entry_point", False),
        ('principal.spiffe_id == "spiffe://example.test/agent/analyst"', True),
        ('principal in Team::"finance" && principal.team == Team::"finance"', True),
        ('principal in AgentClass::"data-analyst"', True),
        ('resource in McpServer::"ledger" && resource.server == McpServer::"ledger"', True),
        ('resource.read_only && !resource.destructive && resource.name == "read_balance"', True),
        ('action in Action::"mcp" && action in Action::"write"', True),
        ('action in Action::"read"', False),
    ],
)
def test_what_policies_see(kit, firm, condition, holds):
    hop = kit.hop("analyst", chain=("planner", "analyst"), reentry=True, purpose="tests")
    if holds is None:
        guard = f'@id("g") forbid ({INVOKE}) when {{ !{condition} }};'
        sources = [*kit.files(ALL), *kit.files(guard, path="guardrails/a.cedar")]
        assert isinstance(decide(hop, kit.loaded(sources, firm), firm, 1), Permit)
        return
    found = verdict(kit, firm, [f'@id("p") permit ({INVOKE}) when {{ {condition} }};'], hop)
    assert isinstance(found, Permit) is holds


APPROVAL = (
    f'@id("ask-{{0}}") @approval("{{0}}") forbid ({INVOKE}) when {{{{ {{1}} }}}} unless {{{{ context.approved }}}};'
)


def test_approval_asks_all_groups(kit, firm):
    policies = [ALL, APPROVAL.format("finance-leads", "true"), APPROVAL.format("finance-agents", "true")]
    found = verdict(kit, firm, policies, kit.hop())
    assert isinstance(found, Ask)
    assert found.groups == ("finance-agents", "finance-leads")
    assert [policy.approval for policy in found.policies] == ["finance-agents", "finance-leads"]


def test_nobody_is_asked_for_what_approval_cannot_permit(kit, firm):
    ask = APPROVAL.format("finance-leads", "true")
    without_permit = verdict(kit, firm, [ask], kit.hop())
    assert (type(without_permit), without_permit.reason) == (Deny, "forbidden")
    beside_forbid = verdict(kit, firm, [ALL, ask, f'@id("no") forbid ({INVOKE});'], kit.hop())
    assert (type(beside_forbid), beside_forbid.reason) == (Deny, "forbidden")


def test_the_second_evaluation_leaves_out_policies_that_read_approvers(kit, firm):
    ask = APPROVAL.format("finance-leads", "true")
    four_eyes = (
        f'@id("four-eyes") forbid ({INVOKE}) when {{ context has user && context.approvers.contains(context.user) }};'
    )
    sources = [*kit.files(ALL, ask), *kit.files(four_eyes, path="guardrails/a.cedar")]
    assert isinstance(decide(kit.hop(), kit.loaded(sources, firm), firm, 1), Ask)


def test_approval_lifts_only_what_it_stands_before(kit, firm):
    found = verdict(kit, firm, [ALL, APPROVAL.format("finance-leads", "context.reentry")], kit.hop())
    assert isinstance(found, Permit)


def test_opening_a_server_follows_from_its_tools(kit, firm):
    one_tool = f'@id("one") permit ({INVOKE}) when {{ resource.name == "pay" }};'
    found = verdict(kit, firm, [one_tool], kit.hop("analyst", "discover", LEDGER))
    assert isinstance(found, Permit)
    assert [policy.id for policy in found.policies] == ["one"]
    reports = Uid("McpServer", "reports")
    assert verdict(kit, firm, [one_tool], kit.hop("analyst", "discover", reports)).reason == "no_permit"
    for action in ("subscribe", "setLogLevel", "listTasks"):
        assert isinstance(verdict(kit, firm, [one_tool], kit.hop("analyst", action, LEDGER)), Permit)
        assert verdict(kit, firm, [one_tool], kit.hop("analyst", action, reports)).reason == "no_permit"


@pytest.mark.parametrize("action", ["discover", "notify", "listTools", "subscribe", "setLogLevel"])
def test_explicit_policies_on_derived_actions_still_count(kit, firm, action):
    forbid = f'@id("no") forbid (principal, action == Action::"{action}", resource is McpServer);'
    assert verdict(kit, firm, [ALL, forbid], kit.hop("analyst", action, LEDGER)).reason == "forbidden"
    permit = f'@id("yes") permit (principal, action == Action::"{action}", resource is McpServer);'
    found = verdict(kit, firm, [permit], kit.hop("analyst", action, LEDGER))
    assert [policy.id for policy in found.policies] == ["yes"]


def test_a_forbid_on_a_derived_action_may_be_lifted(kit, firm):
    ask = (
        '@id("ask") @approval("finance-leads") forbid (principal, action == Action::"discover", resource is McpServer) '
        "unless { context.approved };"
    )
    assert isinstance(verdict(kit, firm, [ALL, ask], kit.hop("analyst", "discover", LEDGER)), Ask)
    assert isinstance(verdict(kit, firm, [ask], kit.hop("analyst", "discover", LEDGER)), Deny)


def test_a_card_is_shown_to_whoever_may_delegate(kit, firm):
    scope = 'principal is User, action == Action::"delegate", resource is Agent'
    policy = f'@id("p") permit ({scope}) when {{ resource.entry_point }};'
    found = verdict(kit, firm, [policy], kit.hop(None, "discover", PLANNER))
    assert isinstance(found, Permit)
    assert [policy.id for policy in found.policies] == ["p"]
    assert isinstance(verdict(kit, firm, [policy], kit.hop(None, "discover", Uid("Agent", "analyst"))), Deny)
    forbid = '@id("no") forbid (principal, action == Action::"discover", resource is Agent);'
    assert verdict(kit, firm, [policy, forbid], kit.hop(None, "discover", PLANNER)).reason == "forbidden"


def test_tools_that_only_some_arguments_allow_are_listed(kit, firm):
    cap = f'@id("cap") permit ({INVOKE}) when {{ context has args.ledger.pay && context.args.ledger.pay.amount < 10 }};'
    bundle = kit.loaded(kit.files(cap), firm)
    tools = firm.servers["ledger"].tools
    assert may_use(kit.hop("analyst", "listTools", LEDGER), bundle, firm, tools["pay"].uid)
    assert isinstance(decide(kit.hop(resource=PAY, arguments={"amount": 5, "to": "x"}), bundle, firm, 1), Permit)
    assert isinstance(decide(kit.hop(resource=PAY, arguments={"amount": 50, "to": "x"}), bundle, firm, 1), Deny)


@pytest.mark.parametrize(
    ("forbid", "shown"),
    [
        ('@id("no") forbid (principal, action == Action::"listTools", resource == Tool::"ledger/pay");', False),
        ('@id("no") forbid (principal, action in Action::"read", resource in ToolSet::"payments");', False),
        ('@id("no") forbid (principal, action == Action::"listTools", resource == Tool::"ledger/read_balance");', True),
        ('@id("no") forbid (principal, action == Action::"discover", resource is McpServer);', True),
        (
            '@id("no") @approval("finance-leads") forbid (principal, action == Action::"invokeTool", resource) '
            "unless { context.approved };",
            True,
        ),
        (
            '@id("no") forbid (principal, action == Action::"invokeTool", resource) '
            "when { context has args.ledger.pay && context.args.ledger.pay.amount > 5 };",
            True,
        ),
        (
            '@id("no") forbid (principal, action == Action::"invokeTool", resource) '
            "unless { context has args.ledger.pay && context.args.ledger.pay.amount < 5 };",
            True,
        ),
    ],
)
def test_forbids_and_lists(kit, firm, forbid, shown):
    bundle = kit.loaded(kit.files(ALL, forbid), firm)
    tool = firm.servers["ledger"].tools["pay"]
    assert may_use(kit.hop("analyst", "listTools", LEDGER), bundle, firm, tool.uid) is shown


def test_a_tool_of_another_registration_is_not_listed(kit, firm):
    bundle = kit.loaded(kit.files(ALL), firm)
    stranger = kit.tool("ledger", "unknown")
    assert not may_use(kit.hop("analyst", "listTools", LEDGER), bundle, firm, stranger.uid)


def test_ids_with_odd_characters_decide_as_others(kit, firm):
    name = 'we"ird\\ \n\u202e'
    odd = structs.replace(firm.agents["analyst"], name=name, spiffe_id=SpiffeId("spiffe://example.test/odd"))
    registry = structs.replace(firm, agents={**firm.agents, name: odd})
    assert isinstance(verdict(kit, registry, [ALL], kit.hop(name)), Permit)


def test_a_token_that_is_not_unicode_is_denied(kit, firm):
    user = User(issuer="https://login.example", idp="corp", subject="\ud800")
    found = verdict(kit, firm, [ALL], kit.hop(user=user))
    assert (type(found), found.reason) == (Deny, "policy_error")
    odd_purpose = verdict(kit, firm, [ALL], kit.hop(purpose="\ud800"))
    assert (type(odd_purpose), odd_purpose.reason) == (Deny, "policy_error")


def test_a_call_of_several_actions_takes_a_permit_for_each(kit, firm):
    hear = '@id("hear") permit (principal, action == Action::"subscribe", resource);'
    read = '@id("read") permit (principal, action == Action::"readResource", resource) when { resource.uri == "x:a" };'
    hop = kit.hop("analyst", "subscribe", LEDGER)
    reading = {uri: ("readResource", Uid("McpResource", f"ledger/{uri}")) for uri in ("x:a", "x:b")}

    def listening(*uris):
        return structs.replace(hop, call=structs.replace(hop.call, also=tuple(reading[uri] for uri in uris)))

    found = verdict(kit, firm, [hear, read], listening("x:a", "x:a"))
    assert isinstance(found, Permit)
    assert [policy.id for policy in found.policies] == ["hear", "read"]
    denied = verdict(kit, firm, [hear, read], listening("x:a", "x:b"))
    assert (denied.reason, denied.hop.call.action, denied.hop.call.resource) == ("no_permit", *reading["x:b"])
    assert verdict(kit, firm, [read], listening("x:a")).hop.call.action == "subscribe"


def test_a_server_asks_as_itself(kit, firm):
    ask = '@id("ask") permit (principal in Team::"finance", action == Action::"elicit", resource is Agent);'
    plain = kit.hop("analyst", "elicit", Uid("Agent", "analyst"))
    assert isinstance(verdict(kit, firm, [ask], structs.replace(plain, asking="ledger")), Permit)
    assert verdict(kit, firm, [ask], structs.replace(plain, asking="reports")).reason == "no_permit"
    assert verdict(kit, firm, [ask], structs.replace(plain, asking="nowhere")).reason == "policy_error"
    assert verdict(kit, firm, [ask], plain).reason == "policy_error", "an agent can't ask an agent"
    people = '@id("ask") permit (principal, action == Action::"sample", resource is User);'
    user_only = kit.hop(None, "sample", Uid("User", "corp|maria"))
    assert isinstance(verdict(kit, firm, [people], structs.replace(user_only, asking="ledger")), Permit)
