"""Staged policies: what they would say is told, exactly; the enforced verdict and its record stay as without them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.audit import decision_record
from gateway.core.model import Deny, Permit, Uid
from gateway.core.policy.bundle import PolicySource, compile_bundle
from gateway.core.policy.decide import decide
from gateway.core.policy.memory import Memory
from gateway.core.policy.replay import over
from gateway.core.policy.trial import TOGETHER, concerns, tried
from gateway.core.reasons import Reason

ENFORCED = """
@id("read") permit (principal in Group::"finance-agents", action == Action::"invokeTool",
resource in ToolSet::"finance-readonly");
@id("pay") permit (principal is Agent, action == Action::"invokeTool", resource in ToolSet::"payments");
@id("limit") @approval("finance-leads")
forbid (principal is Agent, action == Action::"invokeTool", resource in ToolSet::"payments")
when { context has args.ledger.pay && context.args.ledger.pay.amount > 1000 }
unless { context.approved };
@id("talk") permit (principal is Agent, action == Action::"delegate", resource is Agent);
"""  # fmt: skip
DRAFTS = {
    "tighter": '@id("read") @mode("staged") permit (principal is Agent, action == Action::"invokeTool", resource)'
    ' when { principal.risk_level == "medium" };',
    "no-limit": '@id("limit") @mode("staged-delete") forbid (principal, action, resource);',
    "no-talk": '@id("no-talk") @mode("staged") forbid (principal, action == Action::"delegate", resource);',
    "users": '@id("users") @mode("staged") permit (principal is User, action, resource);',
    "memo": '@id("memo") @mode("staged") permit (principal is Agent, action == Action::"invokeTool", resource is Tool)'
    ' when { context has args.ledger.pay.memo && context.args.ledger.pay.memo == "tip" };',
    "odd": '@id("odd") @mode("staged") permit (principal is Agent, action == Action::"invokeTool",'
    ' resource == Tool::"ledger/read_balance") when { context has args.ledger.pay.memo };',
    "overflow": '@id("overflow") @mode("staged") forbid (principal is Agent, action == Action::"invokeTool", resource)'
    " when { context.delegation_depth + 9223372036854775807 > 0 };",
    "owner": '@id("owner") @mode("staged") forbid (principal is Agent, action == Action::"delegate", resource)'
    ' when { principal.owner in Group::"finance-leads" };',
    "hidden": '@id("hidden") @mode("staged") forbid (principal, action == Action::"listTools", resource);',
    "agent": '@id("agent") @mode("staged") forbid (principal == Agent::"planner", action, resource);',
}


def bundle_of(kit, registry, *names, text=ENFORCED):
    sources = [*kit.files(text), *(PolicySource(f"platform/draft-{n}.cedar", DRAFTS[n]) for n in names)]
    return kit.loaded(sources, registry)


def asked(hop, bundle, registry):
    decision = decide(hop, bundle, registry, 1)
    return decision, tried(
        decision, bundle, [(hop.call.action, hop.call.resource)], lambda each: decide(hop, each, registry, 1)
    )


def pay(kit, amount, who="analyst", **more):
    return kit.hop(who, resource=Uid("Tool", "ledger/pay"), arguments={"amount": amount, "to": "x", **more})


def test_a_staged_policy_replaces_the_one_with_its_id_and_enforces_nothing(kit, firm):
    decision, staged = asked(kit.hop("analyst"), bundle_of(kit, firm, "tighter"), firm)
    assert isinstance(decision, Permit)
    (opinion,) = staged.differing
    assert staged.asked == (opinion.draft,)
    assert (opinion.draft.split("@")[0], opinion.verdict, opinion.reason) == ("read", "deny", Reason.NO_PERMIT)


def test_a_staged_deletion_takes_the_policy_away(kit, firm):
    decision, staged = asked(pay(kit, 5000), bundle_of(kit, firm, "no-limit"), firm)
    assert [policy.id for policy in decision.policies] == ["limit"]
    (opinion,) = staged.differing
    assert (opinion.verdict, opinion.policies) == ("permit", ("pay",))


def test_drafts_are_tried_alone_and_together(kit, firm):
    bundle = bundle_of(kit, firm, "no-limit", "agent")
    _, staged = asked(pay(kit, 5000, "planner"), bundle, firm)
    said = {opinion.draft.split("@")[0]: opinion.verdict for opinion in staged.differing}
    assert said == {"limit": "permit", "agent": "deny", TOGETHER: "deny"}
    assert [change.kind for change in bundle.changes] == ["add", "delete"]


def test_a_draft_that_cannot_be_evaluated_is_told_and_decides_nothing(kit, firm):
    decision, staged = asked(kit.hop("analyst"), bundle_of(kit, firm, "overflow"), firm)
    assert isinstance(decision, Permit)
    (opinion,) = staged.differing
    assert (opinion.reason, opinion.verdict) == (Reason.POLICY_ERROR, "deny")
    assert "overflow" in opinion.detail


def test_what_no_draft_concerns_is_not_tried(kit, firm):
    bundle = bundle_of(kit, firm, "no-talk", "users")
    decision = decide(kit.hop("analyst"), bundle, firm, 1)
    assert (
        tried(decision, bundle, [("invokeTool", Uid("Tool", "ledger/read_balance"))], lambda each: pytest.fail("tried"))
        is None
    )
    assert asked(kit.hop("analyst"), bundle_of(kit, firm), firm)[1] is None


def test_a_call_that_scopes_refuse_anyway_is_not_counted(kit, firm):
    bundle = bundle_of(kit, firm, "agent")
    permit = decide(kit.hop("planner", "delegate", Uid("Agent", "analyst")), bundle, firm, 1)
    denied = Deny(permit.hop, Reason.SCOPE_CEILING, permit.policies, permit.bundle, 1, "")
    assert tried(denied, bundle, [("delegate", Uid("Agent", "analyst"))], lambda each: pytest.fail("tried")) is None


def test_the_digest_of_what_is_enforced_does_not_move(kit, firm):
    plain, staged = bundle_of(kit, firm), bundle_of(kit, firm, "tighter", "no-talk")
    mixed = kit.loaded(kit.files(ENFORCED.rstrip("\n"), DRAFTS["no-talk"] + "\n"), firm)
    assert plain.digest == staged.digest
    assert [policy.id for policy in mixed.policies] == [policy.id for policy in plain.policies]
    assert {change.id for change in mixed.changes} == {"no-talk"}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["teams/finance/x.cedar"], "move the draft to that folder"),
        (["platform/a.cedar", "platform/b.cedar"], "the id is taken"),
    ],
)
def test_drafts_are_held_to_the_rules_of_their_place(kit, firm, sources, message):
    draft = '@id("talk") @mode("staged") permit (principal is Agent, action == Action::"invokeTool",' + (
        ' resource in Team::"finance");'
    )
    files = [*kit.files(ENFORCED), *(PolicySource(path, draft) for path in sources)]
    found = compile_bundle(files, kit.SCHEMA, firm)
    assert isinstance(found, tuple)
    assert any(message in problem.message for problem in found)


def test_there_are_at_most_so_many_drafts(kit, firm):
    draft = '@id("d{}") @mode("staged") permit (principal is Agent, action == Action::"delegate", resource is Agent);'
    files = [PolicySource("platform/d.cedar", "\n".join(draft.format(n) for n in range(33)))]
    (problem,) = compile_bundle(files, kit.SCHEMA, firm)
    assert "at most 32" in problem.message


@st.composite
def hops(draw, kit):
    who = draw(st.sampled_from(["planner", "analyst", "auditor", "archivist", None]))
    action, resource = draw(
        st.sampled_from(
            [
                ("invokeTool", Uid("Tool", "ledger/read_balance")),
                ("invokeTool", Uid("Tool", "ledger/pay")),
                ("invokeTool", Uid("Tool", "ledger/unknown")),
                ("delegate", Uid("Agent", "analyst")),
                ("discover", Uid("Agent", "analyst")),
                ("listTools", Uid("McpServer", "ledger")),
                ("discover", Uid("McpServer", "ledger")),
                ("complete", Uid("Prompt", "ledger/close")),
                ("readResource", Uid("McpResource", "ledger/file:///a")),
            ]
        )
    )
    amount = draw(st.one_of(st.integers(0, 3000), st.text(max_size=3)))
    more = draw(st.sampled_from([{}, {"memo": "tip"}, {"memo": 3}, {"odd": 1}]))
    return kit.hop(who, action, resource, arguments={"amount": amount, "to": "x", **more})


PICKED = st.sets(st.sampled_from(sorted(DRAFTS)), min_size=1, max_size=4).map(sorted)
BUNDLES: dict = {}


@given(data=st.data())
def test_staging_changes_neither_verdict_nor_record_and_skipping_is_exact(kit, firm, data):
    hop, names = data.draw(hops(kit)), tuple(data.draw(PICKED))
    homeless = structs.replace(
        firm, agents={**firm.agents, "auditor": structs.replace(firm.agents["auditor"], owner="corp|nobody")}
    )
    plain = BUNDLES.get(()) or BUNDLES.setdefault((), bundle_of(kit, homeless))
    bundle = BUNDLES.get(names) or BUNDLES.setdefault(names, bundle_of(kit, homeless, *names))
    decision, staged = asked(hop, bundle, homeless)
    records = [
        decision_record(decide(hop, plain, homeless, 1), homeless, digest_key=b"k" * 32),
        decision_record(decision, homeless, digest_key=b"k" * 32, staged=staged),
    ]
    assert structs.replace(records[1], staged=None) == records[0]
    said = {} if staged is None else {opinion.draft: opinion for opinion in staged.differing}
    for trial in bundle.trials:
        then = decide(hop, trial.bundle, homeless, 1)
        differs = verdict(then) != verdict(decision)
        key = trial.drafts[0].change.key
        if len(trial.drafts) > 1:
            alone = staged is not None and len(staged.asked) == 1
            assert differs == ((staged.asked[0] if alone else TOGETHER) in said)
        elif concerns(trial, hop, bundle, [(hop.call.action, hop.call.resource)]):
            assert differs == (key in said)
        else:
            assert not differs


def verdict(decision):
    return type(decision), getattr(decision, "reason", None), getattr(decision, "groups", ())


def test_answers_of_drafts_are_kept_apart_and_change_none_of_the_enforced_ones(kit, firm):
    drafted = bundle_of(kit, firm, "no-talk", "tighter")
    memory = Memory()
    bundle = drafted.remembering(memory)
    apart = {id(trial.bundle.memory) for trial in bundle.trials}
    assert len(apart) == 1
    assert id(memory) not in apart
    first, said = asked(kit.hop("analyst"), bundle, firm)
    kept = len(memory)
    assert kept == 1
    assert len(bundle.trials[0].bundle.memory) > 0
    again, said_again = asked(kit.hop("analyst"), bundle, firm)
    assert (again, said_again) == (first, said)
    assert len(memory) == kept
    assert said is not None
    assert said.differing
    # Even in one memory no answer of a draft could stand for an enforced one: keys hold the digest of the slice.
    trials = tuple(structs.replace(each, bundle=structs.replace(each.bundle, memory=memory)) for each in bundle.trials)
    mixed = structs.replace(bundle, trials=trials)
    assert [asked(kit.hop("analyst"), mixed, firm) for _ in range(2)] == [(first, said)] * 2


def test_with_no_answers_kept_none_is_kept_for_drafts_either(kit, firm):
    bundle = bundle_of(kit, firm, "tighter").remembering(Memory(0))
    asked(kit.hop("analyst"), bundle, firm)
    assert len(bundle.trials[0].bundle.memory) == 0


def test_a_bundle_over_another_registry_takes_no_slice_from_the_one_before(kit, firm):
    """Replay asks over the registry of then: who joined a group later was not yet let in by its permits."""
    bundle = bundle_of(kit, firm)
    agents = {**firm.agents, "analyst": structs.replace(firm.agents["analyst"], groups=())}
    left = structs.replace(firm, agents=agents)
    actions = {uid: entity for uid, entity in bundle.world.registered.items() if uid.type == "Action"}
    before = over(bundle, left, actions)
    decision = decide(kit.hop("analyst"), before, left, 1)
    assert isinstance(decision, Deny)
    assert decision.reason is Reason.NO_PERMIT
    assert isinstance(decide(kit.hop("analyst"), over(before, firm, actions), firm, 1), Permit)
