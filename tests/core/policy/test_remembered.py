"""Remembered = sliced = plain Cedar: random bundles, registries and requests; the same decision record each time."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.model import Uid, Usage
from gateway.core.policy.bundle import Bundle, compile_bundle
from gateway.core.policy.decide import decide, may_use
from gateway.core.policy.memory import Memory
from gateway.core.registry import Person
from tests.core.policy.plain_cedar import Plain

PAY = "context has args.ledger.pay"
SCHEMA_OF_PAY = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer"},
        "to": {"type": "string"},
        "memo": {"type": "string"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "deep": {"type": "object", "properties": {"flag": {"type": "boolean"}}},
    },
    "required": ["amount", "to"],
}
OF_CALLS = [
    f"({PAY} && context.args.ledger.pay.amount > 10)",
    f'({PAY} && context.args.ledger.pay.to like "b*")',
    f'({PAY} && context.args.ledger.pay has memo && context.args.ledger.pay.memo == "x")',
    f'({PAY} && context.args.ledger.pay has labels && context.args.ledger.pay.labels.contains("a"))',
    f"({PAY} && context.args.ledger.pay has deep.flag && context.args.ledger.pay.deep.flag)",
    f"({PAY} && context.args.ledger.pay == context.args.ledger.pay)",
    f"(if {PAY} then context.args.ledger.pay.amount > 10 else false)",
    f"({PAY} && context.args.ledger.pay.amount * 9223372036854775807 > 10)",
    "(context has args.ledger)",
    'resource in ToolSet::"payments"',
    'resource.server in Team::"finance"',
    "resource.read_only",
]
CONDITIONS = [
    'principal.risk_level == "low"',
    "principal.risk + context.chain_max_risk > 3",
    "principal.risk * 9223372036854775807 > 1",
    'principal.capabilities.containsAny(["finance", "audit"])',
    "principal.capabilities.isEmpty()",
    "(principal.owner has email && principal.owner.email like \"m*\")",
    'principal.owner in Group::"finance-leads"',
    'principal in [Group::"finance-agents", Group::"finance-leads"]',
    'principal in AgentClass::"data-analyst"',
    "principal in principal.team",
    "principal.owner == context.user",
    '(principal.hasTag("autonomous") && principal.getTag("autonomous") == "true")',
    "principal.hasTag(principal.risk_level)",
    "(if context.reentry then principal.owner else context.user).roles.contains(\"admin\")",
    '(if context.reentry then principal.owner else context.user) in Group::"finance-leads"',
    '(if principal.hasTag("autonomous") then principal.risk else 0) > 1',
    '{"who": principal.team}.who == Team::"platform"',
    '{"n": principal.risk + 1}.n > 2',
    "context.delegation_depth > 1",
    'context.chain.contains(Agent::"planner")',
    'Agent::"planner" in context.chain',
    'context.scopes.contains("ledger/pay")',
    'context.user in Group::"finance-leads"',
    'context.user.roles.contains("admin")',
    "context.user has email",
    "context has purpose",
    '(context has purpose && context.purpose == "audit")',
    'Agent::"analyst".risk_level == "low"',
    'User::"corp|maria" in Team::"finance"',
    'context.now > datetime("2026-11-18")',
    "(context has usage && context.usage.agent_requests_minute > 5)",
    "(context has usage.agent_bytes_hour && context.usage.agent_bytes_hour * 9223372036854775807 > 1)",
    'decimal("1.5").lessThan(decimal("2.0"))',
    "!context.approved",
    "context.approvers.isEmpty()",
    "true",
]  # fmt: skip
PRINCIPALS = [
    "principal is Agent",
    'principal is Agent in Group::"finance-agents"',
    'principal == Agent::"analyst"',
    "principal",
    'principal in AgentClass::"data-analyst"',
]
RESOURCES = ["resource is Tool", "resource", 'resource in Team::"finance"', 'resource == Tool::"ledger/pay"',
             'resource in ToolSet::"payments"', 'resource in McpServer::"ledger"']  # fmt: skip
ACTIONS = ['action == Action::"invokeTool"', 'action in [Action::"invokeTool", Action::"listTools"]']


def expressions(atoms):
    return st.recursive(
        st.sampled_from(atoms),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda pair: f"({pair[0]} && {pair[1]})"),
            st.tuples(inner, inner).map(lambda pair: f"({pair[0]} || {pair[1]})"),
            inner.map(lambda one: f"!({one})"),
            st.tuples(inner, inner, inner).map(lambda three: f"(if {three[0]} then {three[1]} else {three[2]})"),
        ),
        max_leaves=3,
    )


def policy():
    """One policy: effect, scope, condition, whether people can lift it, and its ``when`` or ``unless``."""
    return st.tuples(
        st.sampled_from(["permit", "permit", "forbid"]),
        st.sampled_from(PRINCIPALS),
        st.sampled_from(ACTIONS),
        st.sampled_from(RESOURCES),
        expressions([*CONDITIONS, *OF_CALLS]),
        st.sampled_from(["when", "when", "unless"]),
        st.booleans(),
    )


def written(index, one):
    effect, principal, action, resource, condition, clause, lifted = one
    asks = effect == "forbid" and lifted and "context.approve" not in condition
    approval, end = ('@approval("finance-leads") ', " unless { context.approved }") if asks else ("", "")
    user = "context has user && " if "context.user" in condition else ""
    return (
        f'@id("p{index}") {approval}{effect} ({principal}, {action}, {resource}) {clause} {{ {user}{condition} }}{end};'
    )


@st.composite
def registries(draw, kit):
    """A company, and another state of it: what people and machines change from day to day."""
    firm = kit.company()
    pay = structs.replace(
        firm.servers["ledger"].tools["pay"], input_schema=SCHEMA_OF_PAY, sensitive=draw(st.sampled_from([(), ("to",)]))
    )
    ledger = structs.replace(firm.servers["ledger"], tools={**firm.servers["ledger"].tools, "pay": pay})
    analyst = structs.replace(
        firm.agents["analyst"],
        risk_level=draw(st.sampled_from(["low", "medium"])),
        owner=draw(st.sampled_from(["corp|maria", "corp|omar", "corp|gone"])),
        groups=draw(st.sampled_from([("finance-agents",), ()])),
        capabilities=draw(st.sampled_from([("finance",), ()])),
        tags=draw(st.sampled_from([{}, {"autonomous": "true"}, {"autonomous": "false"}, {"low": ""}])),
    )
    people = dict(firm.people)
    if draw(st.booleans()):
        people["corp|maria"] = structs.replace(people["corp|maria"], groups=(), email=None)
    if draw(st.booleans()):
        people["corp|gone"] = Person(id="corp|gone", issuer="i", subject="gone", name="Gone")
    # Somebody else is always in the group, so that policies may name it.
    auditor = structs.replace(firm.agents["auditor"], groups=("finance-agents",), classes=("data-analyst",))
    agents = {**firm.agents, "analyst": analyst, "auditor": auditor}
    return structs.replace(firm, servers={**firm.servers, "ledger": ledger}, people=people, agents=agents)


def users(kit):
    return st.sampled_from(
        [
            kit.MARIA,
            structs.replace(kit.MARIA, roles=("admin",)),
            structs.replace(kit.MARIA, groups=("finance-leads",), email=None),
            structs.replace(kit.MARIA, subject="omar", email="\ud800"),
            None,
        ]
    )


ARGUMENTS = st.fixed_dictionaries(
    {"amount": st.sampled_from([1, 1, 11, 11, 2**62, "1", True]), "to": st.sampled_from(["bob", "eve"])},
    optional={
        "memo": st.sampled_from(["x", "y", None]),
        "labels": st.sampled_from([["a"], ["b", "a", "a"], []]),
        "deep": st.sampled_from([{}, {"flag": True}, {"flag": False}]),
    },
)


@st.composite
def hops(draw, kit):
    name = draw(st.sampled_from(["pay", "pay", "pay", "read_balance"]))
    who = draw(st.sampled_from(["analyst", "analyst", "analyst", "planner", None]))
    asked = kit.hop(
        who,
        resource=Uid("Tool", f"ledger/{name}"),
        chain=None if who is None else draw(st.sampled_from([None, ("planner", who)])),
        user=draw(users(kit)) if who is not None else kit.MARIA,
        arguments=draw(ARGUMENTS) if name == "pay" else {},
        now=draw(st.sampled_from([1_795_000_000_123, 1_700_000_000_000])),
        usage=draw(st.sampled_from([Usage(agent_requests_minute=many, agent_bytes_hour=many) for many in (1, 6)])),
        reentry=draw(st.booleans()),
        purpose=draw(st.sampled_from([None, "audit", "\udfff"])),
    )
    more = draw(st.sampled_from([frozenset(), frozenset({"ledger/pay"})]))
    return structs.replace(asked, chain=structs.replace(asked.chain, ceiling=more))


def told(decision):
    """The whole record, kinds of values told apart; of several errors each may name another first."""
    if getattr(decision, "reason", None) == "policy_error":
        decision = structs.replace(decision, detail="")
    fields = {name: getattr(decision, name) for name in decision.__struct_fields__ if name != "hop"}
    return type(decision).__name__, decision.hop is not None, msgspec.json.encode(fields, enc_hook=repr)


class Tally:
    """What the whole run came across, so that it can't pass without having tried."""

    def __init__(self):
        self.hits = self.unkept = 0
        self.verdicts = {}


@pytest.fixture(scope="module")
def tally():
    return Tally()


def bundles(kit, policies, registry, memory, key):
    """The same policies on one registry: remembered, and only sliced; None where they don't load."""
    texts = {f"p{index}": written(index, one) for index, one in enumerate(policies)}
    bundle = compile_bundle(kit.files(*texts.values()), kit.SCHEMA, registry, key)
    if not isinstance(bundle, Bundle):
        wrong = {problem.policy for problem in bundle}
        fit = [text for name, text in texts.items() if name not in wrong]
        bundle = compile_bundle(kit.files(*fit), kit.SCHEMA, registry, key)
    if not isinstance(bundle, Bundle):
        return None
    return bundle.remembering(memory), bundle.remembering(Memory(0))


def check(kit, tally, policies, states, requests):
    memory = Memory()
    for registry in [*states, states[0]]:
        found = bundles(kit, policies, registry, memory, b"k" * 32)
        if found is None:
            continue
        remembered, sliced = found
        plain = Plain(kit.SCHEMA, remembered, registry)
        for hop in [*requests, *requests]:
            expected = plain.decide(hop)
            assert told(decide(hop, sliced, registry, 1)) == told(expected)
            assert told(decide(hop, remembered, registry, 1)) == told(expected)
            tally.verdicts[type(expected).__name__, getattr(expected, "reason", "")] = True
        for hop in requests[:1]:
            listing = structs.replace(
                hop, call=structs.replace(hop.call, action="listTools", resource=Uid("McpServer", "ledger"))
            )
            opened = told(decide(listing, sliced, registry, 1))
            assert [told(decide(listing, remembered, registry, 1)) for _ in "12"] == [opened, opened]
            for tool in registry.servers["ledger"].tools.values():
                expected = plain.may_use(listing, tool.uid)
                assert may_use(listing, sliced, registry, tool.uid) is expected
                assert may_use(listing, remembered, registry, tool.uid) is expected
                assert may_use(listing, remembered, registry, tool.uid) is expected
    tally.hits += memory.hits
    tally.unkept += memory.unkept


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_remembered_is_sliced_is_plain(kit, tally, data):
    policies = data.draw(st.lists(policy(), min_size=1, max_size=5))
    states = data.draw(st.lists(registries(kit), min_size=1, max_size=2))
    check(kit, tally, policies, states, data.draw(st.lists(hops(kit), min_size=2, max_size=4)))


def changed(kit):
    """A registry, and others that each differ from it in one thing."""
    firm = kit.company()
    pay = structs.replace(firm.servers["ledger"].tools["pay"], input_schema=SCHEMA_OF_PAY)
    others = structs.replace(firm.agents["auditor"], groups=("finance-agents",), classes=("data-analyst",))

    def state(sensitive=(), maria=None, **analyst):
        tools = {**firm.servers["ledger"].tools, "pay": structs.replace(pay, sensitive=sensitive)}
        # Omar is always in the group, so that policies may name it.
        omar = structs.replace(firm.people["corp|omar"], groups=("finance-leads",))
        other = Person(id="corp|other", issuer="i", subject="other", name="Other")
        people = {
            "corp|other": other,
            **firm.people,
            "corp|omar": omar,
            "corp|maria": structs.replace(firm.people["corp|maria"], **maria or {}),
        }
        agents = {**firm.agents, "auditor": others, "analyst": structs.replace(firm.agents["analyst"], **analyst)}
        servers = {**firm.servers, "ledger": structs.replace(firm.servers["ledger"], tools=tools)}
        return structs.replace(firm, people=people, agents=agents, servers=servers)

    return [
        state(),
        state(sensitive=("to", "amount")),
        state(maria={"email": None}),
        state(maria={"groups": ()}),
        state(owner="corp|other"),
        state(owner="corp|gone"),
        state(risk_level="medium"),
        state(groups=()),
        state(classes=(), groups=()),
        state(capabilities=()),
        state(tags={"autonomous": "true"}),
        state(tags={"autonomous": "false"}),
        state(tags={"low": ""}),
    ]


def requests(kit):
    """A call, and others that each differ from it in one thing."""

    def pays(who="analyst", ceiling=(), user=kit.MARIA, chain=None, now=1_795_000_000_123, **more):
        extra = {name: more.pop(name) for name in ("reentry", "purpose", "usage") if name in more}
        arguments = {"amount": 11, "to": "bob", **more}
        pay = Uid("Tool", "ledger/pay")
        hop = kit.hop(who, resource=pay, user=user, chain=chain, arguments=arguments, now=now, **extra)
        return structs.replace(hop, chain=structs.replace(hop.chain, ceiling=frozenset(ceiling)))

    return [
        pays(),
        pays(amount=1),
        pays(amount=2**62),
        pays(amount=True),
        pays(to="eve"),
        pays(memo="x"),
        pays(memo="y"),
        pays(labels=["a"]),
        pays(labels=["a", "a"]),
        pays(labels=[]),
        pays(deep={"flag": True}),
        pays(deep={"flag": False}),
        pays(ceiling=("ledger/pay",)),
        pays(user=None),
        pays(user=structs.replace(kit.MARIA, roles=("admin",))),
        pays(user=structs.replace(kit.MARIA, subject="omar", email=None)),
        pays(user=structs.replace(kit.MARIA, email="\ud800")),
        pays(chain=("planner", "analyst")),
        pays(who="planner"),
        pays(now=1_700_000_000_000),
        pays(usage=Usage(agent_requests_minute=6, agent_bytes_hour=6)),
        pays(reentry=True),
        pays(purpose="audit"),
        pays(purpose="\udfff"),
    ]


@pytest.mark.parametrize("condition", [*CONDITIONS, *OF_CALLS])
def test_one_change_at_a_time(kit, tally, condition):
    """Whatever a condition reads, a change of just that is seen, and a change of all else is not in the record."""
    memory, states, asked = Memory(), changed(kit), requests(kit)
    one = ("permit", "principal is Agent", ACTIONS[0], "resource is Tool", condition, "when", False)
    for registry in [*states, states[0]]:
        found = bundles(kit, [one], registry, memory, b"k" * 32)
        assert found is not None
        # Only guardrails may read what was approved.
        assert found[0].rules or "context.approve" in condition
        plain = Plain(kit.SCHEMA, found[0], registry)
        for hop in asked if registry is states[0] else [asked[0], asked[4], asked[-3]]:
            assert told(decide(hop, found[0], registry, 1)) == told(plain.decide(hop))
    tally.hits += memory.hits
    tally.unkept += memory.unkept


ANYBODY = "principal is Agent", ACTIONS[0], "resource is Tool"
ENDS = {
    "Permit": [("permit", *ANYBODY, "true", "when", False)],
    "Ask": [("permit", *ANYBODY, "true", "when", False), ("forbid", *ANYBODY, "true", "when", True)],
    "forbidden": [("permit", *ANYBODY, "true", "when", False), ("forbid", *ANYBODY, "true", "when", False)],
    "no_permit": [("permit", *ANYBODY, "context has purpose", "when", False)],
    "policy_error": [("permit", *ANYBODY, "principal.risk * 9223372036854775807 > 1", "when", False)],
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_of_a_call_is_tried(kit, tally, end):
    """Whatever was drawn at random, each of them is come to."""
    analyst = changed(kit)[0]
    risky = structs.replace(analyst.agents["analyst"], risk_level="medium")
    registry = structs.replace(analyst, agents={**analyst.agents, "analyst": risky})
    before = dict(tally.verdicts)
    tally.verdicts.clear()
    check(kit, tally, ENDS[end], [registry], requests(kit)[:2])
    found = {str(reason) if kind == "Deny" else kind for kind, reason in tally.verdicts}
    tally.verdicts.update(before)
    assert found == {end}


def test_the_run_tried_what_it_says(tally):
    assert tally.hits > 300
    assert tally.unkept > 100
    kinds = {"Permit", "Deny", "Ask"}
    assert {kind for kind, _ in tally.verdicts} == kinds
    assert {"policy_error", "no_permit", "forbidden"} <= {str(reason) for _, reason in tally.verdicts}
