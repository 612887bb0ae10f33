"""What counts as evidence: calls that policy alone permitted and that ended well, and nothing else."""

import hashlib

import msgspec
import pytest
from msgspec import Raw, structs

from gateway.core.audit import MatchedValue, PolicyFacts, decision_record, outcome_record
from gateway.core.audit.record import StagedFacts, StagedOpinion
from gateway.core.model import Outcome, Permit, Uid
from gateway.core.policy.keeping import Kept
from gateway.core.policy.recommend_seen import seen
from gateway.core.policy.recommend_terms import Profile
from gateway.core.reasons import Reason

GOOD = Outcome(ok=True, reason=Reason.PERMITTED, status=200)
BAD = Outcome(ok=False, reason=Reason.UPSTREAM_UNREACHABLE, status=502)


@pytest.fixture
def call(kit, firm):
    """A permitted call of the analyst for Maria, its outcome, and the facts of its user."""
    hop = kit.hop("analyst")
    kept = Kept(user=hop.user, person=firm.people.get(hop.user.sub))
    digest = hashlib.sha256(msgspec.json.encode(kept)).hexdigest()
    record = decision_record(Permit(hop, (), "d", 1), firm, digest_key=bytes(32))
    record = structs.replace(record, facts=(digest,))
    return record, outcome_record(hop, GOOD, 1), {digest: kept}, hop


def test_a_permitted_call_that_ended_well_is_evidence(call, firm):
    record, outcome, pieces, hop = call
    found = seen([(record, outcome), (record, outcome)], pieces, firm, record.at)
    ((request, usage),) = found.uses.items()
    assert (request.agent, request.tool) == ("analyst", record.resource)
    assert isinstance(request.who, Profile)
    assert set(request.who.groups) >= set(hop.user.groups)
    assert (usage.calls, usage.recent, usage.first, usage.people) == (2, 2, record.at, {hop.user.sub})
    assert found.left_out == {}


def test_what_staged_policies_would_have_said_makes_no_difference(call, firm):
    record, outcome, pieces, _ = call
    opinion = StagedOpinion(draft="", verdict="deny", reason=Reason.NO_PERMIT)
    staged = structs.replace(record, staged=StagedFacts(asked=("x@1",), differing=(opinion,)))
    assert len(seen([(staged, outcome)], pieces, firm, 0).uses) == 1


def changed(record, **changes):
    return structs.replace(record, **changes)


LEFT = {
    "denied": ({"verdict": "deny", "reason": Reason.FORBIDDEN}, "not permitted"),
    "staged only": (
        {
            "verdict": "deny",
            "reason": Reason.NO_PERMIT,
            "staged": StagedFacts(
                asked=("x@1",),
                differing=(StagedOpinion(draft="x@1", verdict="permit", reason=Reason.PERMITTED),),
            ),
        },
        "not permitted",
    ),
    "waits for approval": ({"verdict": "ask", "reason": Reason.APPROVAL_REQUIRED}, "not permitted"),
    "approved": (
        {"policies": (PolicyFacts(id="large", tier="teams", file="f", effect="forbid", approval="leads"),)},
        "approved by people",
    ),
    "approved by value": (
        {
            "policies": (
                PolicyFacts(
                    id="a",
                    tier="teams",
                    file="f",
                    effect="permit",
                    matched=(MatchedValue("context.approved", Raw(b"true")),),
                ),
            )
        },
        "approved by people",
    ),
    "of a server": ({"asking": "ledger"}, "not a tool call of an agent"),
    "a delegation": ({"action": "delegate", "resource": Uid("Agent", "analyst")}, "not a tool call of an agent"),
    "of a person alone": ({"agent": None}, "not a tool call of an agent"),
    "of a tool that went": ({"resource": Uid("Tool", "ledger/gone")}, "agent or tool is no longer registered"),
    "of an unknown user": ({"facts": ()}, "the user's attributes were not kept"),
}


@pytest.mark.parametrize("case", sorted(LEFT))
def test_what_is_no_evidence_is_left_out_and_counted(call, firm, case):
    record, outcome, pieces, _ = call
    changes, why = LEFT[case]
    found = seen([(changed(record, **changes), outcome)], pieces, firm, 0)
    assert (found.uses, found.left_out) == ({}, {why: 1})


def test_calls_that_failed_or_never_ended_are_left_out(call, firm):
    record, _, pieces, hop = call
    found = seen([(record, outcome_record(hop, BAD, 1)), (record, None)], pieces, firm, 0)
    assert (found.uses, found.left_out) == ({}, {"did not end well": 2})
