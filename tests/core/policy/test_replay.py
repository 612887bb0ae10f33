"""Replays are exact: a bundle reproduces its own records; another one says what it would have, or that it can't."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.audit import decision_record, decode, encode
from gateway.core.model import Ancestry, Route, Uid
from gateway.core.policy.decide import decide
from gateway.core.policy.keeping import Keeper
from gateway.core.policy.replay import Answer, Besides, Replay, Undecidable, pieces_of
from gateway.core.policy.replay_report import summed_up
from gateway.core.reasons import Reason
from gateway.core.registry import Resources

READ = '@id("read") permit (principal in Group::"finance-agents", action == Action::"invokeTool", resource is Tool)'
POLICIES = {
    "read": READ + ' when { resource in ToolSet::"finance-readonly" };',
    "pay": '@id("pay") permit (principal is Agent, action == Action::"invokeTool", resource in ToolSet::"payments")'
    ' when { context has args.ledger.pay && context.args.ledger.pay.amount >= 0 };',
    "pay-open": '@id("pay-open") permit (principal in Team::"platform", action == Action::"invokeTool",'
    ' resource in ToolSet::"payments");',
    "limit": '@id("limit") @approval("finance-leads") forbid (principal is Agent, action == Action::"invokeTool",'
    ' resource in ToolSet::"payments") when { context has args.ledger.pay && context.args.ledger.pay.amount > 1000 }'
    " unless { context.approved };",
    "bob": '@id("bob") permit (principal is Agent, action == Action::"invokeTool", resource in ToolSet::"payments")'
    ' when { context has args.ledger.pay && context.args.ledger.pay.to == "bob" };',
    "never": '@id("never") forbid (principal is Agent, action == Action::"invokeTool", resource in ToolSet::"payments")'
    ' when { context has args.ledger.pay && context.args.ledger.pay.to == "mallory" };',
    "owner": '@id("owner") forbid (principal is Agent, action, resource)'
    ' when { principal.owner in Group::"banned" };',
    "talk": '@id("talk") permit (principal is Agent, action == Action::"delegate", resource is Agent)'
    " when { context.delegation_depth <= 2 };",
    "files": '@id("files") permit (principal is Agent, action == Action::"readResource", resource in'
    ' ResourceSet::"open");',
    "sum": '@id("sum") forbid (principal is Agent, action == Action::"invokeTool", resource in ToolSet::"payments")'
    " when { context has args.ledger.pay && context.args.ledger.pay.amount * 4611686018427387904 > 9 };",
    "peer": '@id("peer") forbid (principal is Agent, action == Action::"delegate", resource is Agent)'
    ' when { Agent::"planner".risk_level == "high" };',
}  # fmt: skip
CALLS = [
    ("invokeTool", Uid("Tool", "ledger/read_balance")),
    ("invokeTool", Uid("Tool", "ledger/pay")),
    ("invokeTool", Uid("Tool", "ledger/unknown")),
    ("delegate", Uid("Agent", "analyst")),
    ("discover", Uid("Agent", "analyst")),
    ("listTools", Uid("McpServer", "ledger")),
    ("discover", Uid("McpServer", "reports")),
    ("readResource", Uid("McpResource", "ledger/file:///a")),
    ("readResource", Uid("McpResource", "ledger/other:///a")),
]
PAY = CALLS[1]
CLEAR = Route("mcp", "ledger", "/mcp/ledger", "", "", record_arguments=True)
BUNDLES: dict = {}


@pytest.fixture(scope="module")
def world(kit, firm):
    ledger = firm.servers["ledger"]
    files = Resources(server="ledger", pattern="file:///*", sets=("open",), scopes=())
    ledger = structs.replace(ledger, resources={files.pattern: files})
    orphan = structs.replace(firm.agents["auditor"], owner="corp|nobody")
    banned = structs.replace(firm.people["corp|omar"], groups=("banned",))
    agents = {
        **firm.agents,
        "auditor": orphan,
        "archivist": structs.replace(firm.agents["archivist"], owner=banned.id),
        "clerk": kit.agent("clerk", groups=("finance-agents",)),
    }
    people = {**firm.people, banned.id: banned}
    return structs.replace(firm, servers={**firm.servers, "ledger": ledger}, agents=agents, people=people)


def bundle_of(kit, registry, names):
    key = tuple(sorted(names))
    if key not in BUNDLES:
        BUNDLES[key] = kit.loaded(kit.files(*(POLICIES[name] for name in key)), registry)
    return BUNDLES[key]


def recorded(hop, bundle, registry):
    pieces = Keeper().pieces(hop, bundle)
    decision = decide(hop, bundle, registry, 7)
    facts = [piece.digest for piece in pieces]
    record = decision_record(decision, registry, digest_key=b"k" * 32, facts=facts)
    return decode(encode(record)), pieces_of((piece.digest, piece.document) for piece in pieces)


@st.composite
def hops(draw, kit):
    who = draw(st.sampled_from(["planner", "planner", "analyst", "auditor", "archivist", None]))
    action, resource = draw(st.sampled_from([*CALLS, *[PAY] * len(CALLS)]))
    chain = None if who is None else draw(st.sampled_from([(who,), ("planner", who), ("planner", "analyst", who)]))
    amount = draw(st.sampled_from([-5, 0, 40, 1000, 1001, 3000, 40, 3000, "x", None]))
    to = draw(st.sampled_from(["mallory", "bob"]))
    more = draw(st.sampled_from([{}, {}, {}, {"memo": "tip"}, {"odd": 1}]))
    hop = kit.hop(who, action, resource, chain=chain, arguments={"amount": amount, "to": to, **more})
    if who is not None and draw(st.booleans()):
        live = Ancestry(draw(st.integers(1, 3)), ("other",))
        hop = structs.replace(hop, chain=structs.replace(hop.chain, live=live))
    return structs.replace(hop, route=CLEAR) if draw(st.booleans()) else hop


SETS = st.sets(st.sampled_from(sorted(POLICIES)), min_size=1).map(sorted)


@given(data=st.data())
def test_the_bundle_in_force_reproduces_every_verdict_and_determining_policy(kit, world, data):
    hop, bundle = data.draw(hops(kit)), bundle_of(kit, world, data.draw(SETS))
    record, pieces = recorded(hop, bundle, world)
    answer = Replay(bundle, pieces).answer(record)
    assert isinstance(answer, Answer), answer
    assert (answer.verdict, answer.reason) == (record.verdict, record.reason)
    assert sorted(answer.policies) == sorted(policy.id for policy in record.policies)
    assert answer.groups == record.groups


@given(data=st.data())
def test_another_bundle_says_what_it_would_have_said_or_that_it_cannot_be_told(kit, world, data):
    hop = data.draw(hops(kit))
    old, new = (bundle_of(kit, world, data.draw(SETS)) for _ in range(2))
    record, pieces = recorded(hop, old, world)
    answer = Replay(new, pieces).answer(record)
    then = decide(hop, new, world, 7)
    said = recorded(hop, new, world)[0]
    if isinstance(answer, Answer):
        assert answer.verdict == said.verdict, then
    elif hop.route.record_arguments:
        assert "Agent" in answer.why
    else:
        assert "was not kept" in answer.why


def pay(kit, amount, **more):
    return kit.hop("planner", resource=Uid("Tool", "ledger/pay"), arguments={"amount": amount, "to": "bob", **more})


def test_what_a_policy_reads_anew_is_named_where_it_was_not_kept(kit, world):
    old = bundle_of(kit, world, ["read", "pay-open"])
    record, pieces = recorded(pay(kit, 5), old, world)
    assert record.verdict == "permit"
    answer = Replay(bundle_of(kit, world, ["pay-open", "limit"]), pieces).answer(record)
    assert answer == Undecidable("reads context.args.ledger.pay.amount, which was not kept")


@pytest.mark.parametrize(
    ("amount", "policies", "verdict", "determining"),
    [
        (40, ["pay-open", "limit", "never"], "permit", ["pay-open"]),
        (5000, ["pay-open", "limit", "never"], "ask", ["limit"]),
        (5000, ["pay", "limit"], "ask", ["limit"]),
        (5000, ["bob", "limit"], "ask", ["limit"]),
        (3, ["pay-open", "sum"], "deny", []),
        ("x", ["pay-open", "limit"], "deny", []),
    ],
)
def test_unchanged_policies_are_known_by_the_verdict(kit, world, amount, policies, verdict, determining):
    bundle = bundle_of(kit, world, policies)
    record, pieces = recorded(pay(kit, amount), bundle, world)
    answer = Replay(bundle, pieces).answer(record)
    assert isinstance(answer, Answer), answer
    assert (answer.verdict, answer.reason, list(answer.policies)) == (verdict, record.reason, determining)


def test_a_call_that_might_not_fit_what_is_read_anew_is_not_taken_to_fit(kit, world):
    record, pieces = recorded(pay(kit, "x"), bundle_of(kit, world, ["pay-open"]), world)
    assert record.verdict == "permit", "nothing read the arguments"
    memo = '@id("memo") permit (principal is Agent, action == Action::"invokeTool", resource in ToolSet::"payments")'
    memo += ' when { context has args.ledger.pay.memo && context.args.ledger.pay.memo == "tip" };'
    new = kit.loaded(kit.files(POLICIES["pay-open"], memo), world)
    assert isinstance(Replay(new, pieces).answer(record), Undecidable)


def test_an_error_says_nothing_of_other_policies(kit, world):
    old, new = bundle_of(kit, world, ["pay-open", "sum", "never"]), bundle_of(kit, world, ["pay-open", "never"])
    hop = kit.hop("planner", resource=Uid("Tool", "ledger/pay"), arguments={"amount": 3, "to": "mallory"})
    record, pieces = recorded(hop, old, world)
    assert record.reason is Reason.POLICY_ERROR
    assert isinstance(Replay(new, pieces).answer(record), Undecidable)


def test_facts_are_as_of_then(kit, world):
    old = bundle_of(kit, world, ["read"])
    record, pieces = recorded(kit.hop("analyst"), old, world)
    moved = structs.replace(world.agents["analyst"], groups=())
    today = structs.replace(world, agents={**world.agents, "analyst": moved})
    answer = Replay(kit.loaded(kit.files(POLICIES["read"]), today), pieces).answer(record)
    assert answer == Answer("permit", Reason.PERMITTED, ("read",))


def test_a_denial_that_no_policy_made_stands(kit, world):
    old = bundle_of(kit, world, ["read"])
    record, pieces = recorded(kit.hop("analyst"), old, world)
    refused = structs.replace(record, verdict="deny", reason=Reason.SCOPE_CEILING)
    assert Replay(old, pieces).answer(refused) == Besides()


def test_a_record_of_before_facts_were_kept_is_not_guessed(kit, world):
    old = bundle_of(kit, world, ["read"])
    record, pieces = recorded(kit.hop("analyst"), old, world)
    assert isinstance(Replay(old, {}).answer(record), Undecidable)
    assert isinstance(Replay(old, pieces).answer(structs.replace(record, facts=())), Undecidable)


def test_the_report_counts_changes_by_policy_and_agent(kit, world):
    old, new = bundle_of(kit, world, ["read"]), kit.loaded(kit.files(READ + " when { false };"), world)
    record, pieces = recorded(kit.hop("analyst"), old, world)
    report = summed_up([record, record], Replay(new, pieces))
    assert (report.decisions, report.differing, report.same) == (2, 2, 0)
    assert report.changes == {"permit -> deny": 2}
    assert report.by_agent == {"analyst": {"permit -> deny": 2}}
    assert report.by_policy == {"(no permit matched)": {"permit -> deny": 2}}


def test_pieces_hold_no_secret_and_nothing_about_connections(kit, world):
    bundle = bundle_of(kit, world, ["read", "talk"])
    pieces = Keeper().pieces(kit.hop("analyst", "delegate", Uid("Agent", "planner")), bundle)
    text = b"".join(piece.document for piece in pieces)
    assert b"127.0.0.1" not in text
    assert b"upstream" not in text
    assert all(len(msgspec.json.decode(piece.document)) for piece in pieces)
