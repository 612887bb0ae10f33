"""The life of an approval: what may follow what, whose word counts, and that it is used at most once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import approval as life
from gateway.core.approval import Approval, GroupTerms, Need, Terms
from gateway.core.errors import HopError
from gateway.core.model import Uid
from gateway.core.reasons import Reason
from tests.core.approvals import NOW, an_approval, yes

HOUR = 3_600_000
TERMS = Terms(
    decide_seconds=3600, use_seconds=600, hold_seconds=1, again_seconds=300, settle_seconds=60, keep_days=1,
    pending_per_caller=5, argument_bytes=1024, url=None,
    groups={"risk": GroupTerms(quorum=2, escalate_to="board", escalate_seconds=900)},
)  # fmt: skip
BOTH = (
    Need(group="finance-leads", quorum=1),
    Need(group="risk", quorum=2, escalate_to="board", escalates=1_800_000_900),
)


def refused(action: Any) -> Reason:
    with pytest.raises(HopError) as caught:
        action()
    return caught.value.reason


def test_one_yes_of_the_group_approves_and_starts_the_second_clock() -> None:
    approved = life.vote(an_approval(), yes("ann"))
    assert (approved.state, approved.use_by, approved.version) == ("approved", NOW // 1000 + 600, 2)
    said = life.given(approved)
    assert (said.groups, said.approvers, said.until) == (
        frozenset({"finance-leads"}), (Uid("User", "corp|ann"),), approved.use_by,
    )  # fmt: skip


def test_all_groups_and_every_quorum_are_needed() -> None:
    found = life.vote(an_approval(needs=BOTH), yes("ann"))
    assert (found.state, life.missing(found)) == ("pending", ("risk",))
    found = life.vote(found, yes("bob", "risk"))
    assert life.vote(found, yes("bob", "risk")) is found
    assert life.missing(found) == ("risk",)
    assert life.vote(found, yes("cid", "risk")).state == "approved"


def test_one_no_refuses() -> None:
    found = life.vote(life.vote(an_approval(needs=BOTH), yes("ann")), yes("bob", "risk", said=False))
    assert (found.state, found.ended_by) == ("refused", "corp|bob")
    assert refused(lambda: life.vote(found, yes("cid", "risk"))) is Reason.CONFLICT


def test_nobody_approves_what_is_made_for_them_and_no_stranger_does() -> None:
    assert refused(lambda: life.vote(an_approval(), yes("maria"))) is Reason.OWN_APPROVAL
    stranger = life.Vote(by="corp|eve", at=NOW, yes=True, groups=())
    assert refused(lambda: life.vote(an_approval(), stranger)) is Reason.NOT_APPROVER


def test_a_second_thought_is_no_vote() -> None:
    found = life.vote(an_approval(needs=BOTH), yes("ann"))
    assert refused(lambda: life.vote(found, yes("ann", said=False))) is Reason.CONFLICT


def test_another_group_speaks_once_the_first_was_silent() -> None:
    found = an_approval(needs=BOTH)
    assert life.speaks_for(found, {"board"}, NOW) == ()
    assert life.deciders(found, NOW) == ("finance-leads", "risk")
    later = NOW + 900_000
    assert life.speaks_for(found, {"board"}, later) == ("risk",)
    assert life.deciders(found, later) == ("finance-leads", "risk", "board")
    assert life.needs_of({"risk"}, TERMS, NOW // 1000)[0].escalates == NOW // 1000 + 900
    # Who has said yes for one group says it for the other too, once they speak for it.
    found = life.vote(found, yes("ann"))
    assert len(life.vote(found, yes("ann", "finance-leads", "risk", at=later)).votes) == 1


def test_both_clocks_end_it() -> None:
    waiting = an_approval()
    assert life.as_of(waiting, NOW + HOUR - 1) is waiting
    assert life.as_of(waiting, NOW + HOUR).state == "expired"
    assert refused(lambda: life.vote(waiting, yes("ann", at=NOW + HOUR))) is Reason.CONFLICT
    approved = life.vote(waiting, yes("ann"))
    assert life.as_of(approved, NOW + 599_999) is approved
    assert refused(lambda: life.consume(approved, "h2", NOW + 600_000, 60)) is Reason.APPROVAL_EXPIRED


def test_it_is_consumed_once_and_no_outcome_is_unknown() -> None:
    approved = life.vote(an_approval(), yes("ann"))
    used = life.consume(approved, "h2", NOW, 60)
    assert (used.state, used.consumed_by) == ("consumed", "h2")
    assert refused(lambda: life.consume(used, "h3", NOW, 60)) is Reason.APPROVAL_SPENT
    lost = life.as_of(used, NOW + 60_000)
    assert lost.state == "unknown"
    assert refused(lambda: life.consume(lost, "h3", NOW, 60)) is Reason.APPROVAL_UNKNOWN
    # A late outcome is one.
    assert life.settle(lost, NOW + 70_000, known=True, detail="").state == "done"
    assert life.settle(used, NOW, known=False, detail="reset").state == "unknown"
    assert refused(lambda: life.cancel(used, "me", NOW)) is Reason.CONFLICT


def test_what_was_never_sent_is_given_back_in_its_time() -> None:
    used = life.consume(life.vote(an_approval(), yes("ann")), "h2", NOW, 60)
    assert life.release(used, NOW, "unreachable").state == "approved"
    assert life.release(used, NOW + 600_000, "unreachable").state == "expired"


def test_an_end_stands_for_a_while() -> None:
    ended = life.vote(an_approval(), yes("ann", said=False))
    assert life.stands_in_the_way(ended, NOW + 299_999, TERMS)
    assert not life.stands_in_the_way(ended, NOW + 300_000, TERMS)
    assert not life.stands_in_the_way(life.cancel(an_approval(), "me", NOW), NOW, TERMS)
    assert life.stands_in_the_way(an_approval(), NOW, TERMS)


STEP = st.one_of(
    st.tuples(st.just("vote"), st.sampled_from("abcm"), st.booleans(), st.sampled_from(["finance-leads", "risk"])),
    st.tuples(st.just("consume"), st.sampled_from(["h1", "h2"])),
    st.tuples(st.just("settle"), st.booleans()),
    st.tuples(st.just("release")),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("wait"), st.integers(0, 2000)),
)


@given(st.lists(STEP, max_size=14), st.booleans())
def test_whatever_happens(steps: list[Any], both: bool) -> None:
    """No use without every group's yes of others than the user; at most one use that isn't given back; ends stay."""
    found = an_approval(sub="corp|m", **({"needs": BOTH} if both else {}))
    now, uses, closed = NOW, 0, ""
    for step in steps:
        before = found
        try:
            found, now = _after(found, step, now)
        except (HopError, ValueError):
            continue
        if before.state in ("done", "refused", "cancelled", "expired"):
            assert found == before
        if before.state == "approved" and found.state == "consumed":
            uses += 1
            yeses = {vote.by for vote in found.votes if vote.yes}
            assert yeses
            assert found.sub not in yeses
            assert life.missing(found) == ()
        if before.state == "consumed" and found.state in ("approved", "expired"):
            uses -= 1
        assert uses in (0, 1)
        closed = closed or ("done" if found.state == "done" else "")
        assert not closed or found.state == "done"
        assert found.version >= before.version


def _after(found: Approval, step: Any, now: int) -> tuple[Approval, int]:
    match step:
        case ("vote", name, said, group):
            return life.vote(found, yes(name, group, at=now, said=said)), now
        case ("consume", hop):
            return life.consume(found, hop, now, 60), now
        case ("settle", known):
            return life.settle(found, now, known=known, detail=""), now
        case ("release",):
            return life.release(found, now, ""), now
        case ("cancel",):
            return life.cancel(found, "me", now), now
    return life.as_of(found, now + step[1] * 1000), now + step[1] * 1000
