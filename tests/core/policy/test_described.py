"""Described and recorded hops are decided by the same function, and what a record lacks is never guessed."""

import pytest
from msgspec import structs

from gateway.core.audit import decision_record
from gateway.core.model import Ask, Deny, Permit, Route, Uid, User
from gateway.core.policy.decide import decide
from gateway.core.policy.described import Described, DescriptionError, hop_of
from gateway.core.policy.retold import retold, unknown_to

INVOKE = 'principal is Agent, action == Action::"invokeTool", resource is Tool'
PAY = Uid("Tool", "ledger/pay")
ROUTE = Route("mcp", "ledger", "/mcp/ledger", "https://gw/mcp/ledger", "https://gw/mcp/ledger", record_arguments=True)
NOW = 1_795_000_000_123


def asked(kit, registry, policies, **fields):
    bundle = kit.loaded(kit.files(*policies), registry)
    hop = hop_of(Described(**fields), registry, {"/mcp/ledger": ROUTE}, bundle, NOW)
    return hop, decide(hop, bundle, registry, 1)


def test_a_description_is_decided_as_traffic_is(kit, firm):
    policies = [
        f'@id("a") permit ({INVOKE}) when {{ context.delegation_depth == 2 && context has user }};',
        f'@id("b") @approval("finance-leads") forbid ({INVOKE})'
        " when { context has args.ledger.pay && context.args.ledger.pay.amount > 5 } unless { context.approved };",
    ]
    hop, found = asked(
        kit, firm, policies, agent="analyst", user="corp|maria", action="invokeTool", resource="ledger/pay",
        chain=("planner", "analyst"), arguments={"amount": 6, "to": "x"},
    )  # fmt: skip
    assert isinstance(found, Ask)
    assert hop.user == User("https://login.example", "corp", "maria", "maria@example.test", (), ("finance-leads",))
    assert (hop.route, hop.now) == (ROUTE, NOW)
    _, found = asked(kit, firm, policies, agent="analyst", action="invokeTool", resource="ledger/pay")
    assert isinstance(found, Deny)


def test_roles_and_groups_of_the_token_are_described(kit, firm):
    policy = '@id("a") permit (principal is User, action == Action::"delegate", resource is Agent) when {'
    policy += ' principal.roles.contains("cfo") && principal in Group::"finance-leads" };'
    known = {"user": "corp|omar", "action": "delegate", "resource": "planner"}
    assert isinstance(asked(kit, firm, [policy], **known)[1], Deny)
    _, found = asked(kit, firm, [policy], **known, roles=("cfo",), groups=("finance-leads",))
    assert isinstance(found, Permit)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"agent": "anlyst"}, 'did you mean "analyst"'),
        ({"action": "invokeTol"}, 'did you mean "invokeTool"'),
        ({"resource": "ledger/pai"}, 'did you mean "ledger/pay"'),
        ({"resource": "legder"}, 'did you mean "ledger"'),
        ({"chain": ("analyst", "planner")}, "must end"),
        ({"agent": None}, "somebody"),
        ({"user": "maria"}, "<idp>|<subject>"),
    ],
)
def test_what_is_not_registered_is_said(kit, firm, fields, part):
    known = {"agent": "analyst", "action": "invokeTool", "resource": "ledger/pay"}
    with pytest.raises(DescriptionError, match=part.replace("|", r"\|")):
        asked(kit, firm, [f'@id("a") permit ({INVOKE});'], **(known | fields))


def story(kit, registry, hop, bundle):
    record = decision_record(decide(hop, bundle, registry, 1), registry, digest_key=b"k" * 32)
    return retold(record, registry, {"/mcp/ledger": ROUTE})


def recorded(kit, registry, policies, *, arguments=None, keep=True, **hop):
    bundle = kit.loaded(kit.files(*policies), registry)
    made = kit.hop(resource=PAY, arguments=arguments, **hop)
    made = structs.replace(made, route=ROUTE if keep else structs.replace(ROUTE, record_arguments=False))
    return made, bundle, story(kit, registry, made, bundle)


READS = f'@id("args") permit ({INVOKE}) when {{ context has args.ledger.pay && context.args.ledger.pay.amount > 5 }};'
PLAIN = f'@id("plain") permit ({INVOKE}) when {{ context.delegation_depth == 2 && context.purpose == "x" }};'
PLAIN = PLAIN.replace("context.purpose", "context has purpose && context.purpose")
PERSON = f'@id("person") permit ({INVOKE}) when {{ context has user && context.user in Group::"finance-leads" }};'
ELSE = (
    '@id("else") permit (principal is Agent, action == Action::"invokeTool", resource in ToolSet::"finance-readonly") '
    'when { context has user && context.user in Group::"finance-leads" };'
)


@pytest.mark.parametrize(
    ("policies", "keep", "part"),
    [
        ([PLAIN], False, None),
        ([READS], True, None),
        ([READS, PLAIN], False, "`args`"),
        ([PERSON, PLAIN], True, "`person`"),
        ([ELSE, PLAIN], True, None),
    ],
)
def test_what_a_record_lacks_is_said_where_a_policy_reads_it(kit, firm, policies, keep, part):
    hop, bundle, told = recorded(
        kit, firm, policies, arguments={"amount": 6, "to": "x"}, keep=keep, chain=("planner", "analyst"), purpose="x"
    )
    unknown = unknown_to(bundle, told)
    assert (part is None) == (unknown == ()), unknown
    if part is None:
        again, first = (decide(each, bundle, firm, 1) for each in (told.hop, hop))
        assert (type(again), again.policies) == (type(first), first.policies)
    else:
        assert part in unknown[0]


def test_a_sensitive_argument_is_not_recorded_and_not_guessed(kit, firm):
    ledger = firm.servers["ledger"]
    pay = structs.replace(ledger.tools["pay"], sensitive=("to",))
    server = structs.replace(ledger, tools={**ledger.tools, "pay": pay})
    registry = structs.replace(firm, servers={**firm.servers, "ledger": server})
    _, bundle, told = recorded(kit, registry, [READS], arguments={"amount": 6, "to": "x"})
    assert "`args`" in unknown_to(bundle, told)[0]


def test_a_log_level_that_would_decide_is_not_guessed(kit, firm):
    forbid = '@id("quiet") forbid (principal is Agent, action == Action::"setLogLevel", resource);'
    _, bundle, told = recorded(kit, firm, [f'@id("a") permit ({INVOKE});', forbid])
    assert "log level" in unknown_to(bundle, told)[0]
    _, bundle, told = recorded(kit, firm, [f'@id("a") permit ({INVOKE});'])
    assert unknown_to(bundle, told) == ()


def test_a_task_does_not_say_what_made_it(kit, firm):
    bundle = kit.loaded(kit.files(f'@id("a") permit ({INVOKE});'), firm)
    told = story(kit, firm, kit.hop("analyst", "getTask", Uid("McpTask", "ledger/1")), bundle)
    assert "origins" in unknown_to(bundle, told)[0]
