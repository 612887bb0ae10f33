"""What is told of an approval, to whom; when it is tried again, and given up."""

from datetime import UTC, datetime
from email.utils import format_datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.core import approval as life
from gateway.core.approval import Approval, Need
from gateway.core.webhook_letters import (
    LONGEST_SECONDS,
    Letter,
    Notice,
    TargetTerms,
    after_attempt,
    delay_of,
    letters_of,
    retry_after,
    still_true,
)
from tests.core.approvals import NOW, an_approval, yes

ALL = {"pager": TargetTerms()}


def told(before: Approval | None, after: Approval, **terms: TargetTerms) -> list[str]:
    return [each.event.partition(".")[2] for each in letters_of(before, after, terms or ALL, NOW)]


def test_each_step_is_told_once() -> None:
    asked = an_approval()
    approved = life.vote(asked, yes("ann"))
    used = life.consume(approved, "hop", NOW, 60)
    assert told(None, asked) == ["asked"]
    assert told(asked, approved) == ["approved"]
    assert told(asked, life.vote(asked, structs.replace(yes("ann"), yes=False))) == ["refused"]
    assert told(asked, life.cancel(asked, "me", NOW)) == ["cancelled"]
    assert told(asked, life.as_of(asked, asked.decide_by * 1000)) == ["expired"]
    assert told(approved, used) == ["consumed"]
    assert told(used, life.release(used, NOW, "x")) == ["released"]
    assert told(used, life.settle(used, NOW, known=True, detail="")) == ["done"]
    assert told(used, life.settle(used, NOW, known=False, detail="")) == ["unknown"]


def test_a_yes_that_is_not_enough_is_told_as_a_word() -> None:
    two = structs.replace(an_approval(), needs=(Need(group="finance-leads", quorum=2),))
    assert told(two, life.vote(two, yes("ann"))) == ["voted"]


def test_targets_hear_what_they_want_of_their_groups() -> None:
    asked = an_approval()
    assert told(None, asked, a=TargetTerms(events=("approval.approved",))) == []
    assert told(None, asked, a=TargetTerms(groups=("others",))) == []
    assert told(None, asked, a=TargetTerms(groups=(asked.groups[0],)), b=TargetTerms()) == ["asked", "asked"]


def escalating() -> Approval:
    asked = an_approval()
    need = Need(group="finance-leads", quorum=1, escalate_to="board", escalates=asked.decide_by - 5)
    return structs.replace(asked, needs=(need,))


def test_escalation_is_told_in_time_and_only_while_people_are_waited_for() -> None:
    asked = escalating()
    [_, letter] = letters_of(None, asked, ALL, NOW)
    assert (letter.event, letter.due) == ("approval.escalated", asked.needs[0].escalates * 1000)
    assert msgspec.json.decode(letter.notice, type=Notice).data.escalated_to == "board"
    assert still_true(letter, asked, letter.due)
    assert not still_true(letter, life.vote(asked, yes("ann")), letter.due)
    assert not still_true(letter, None, letter.due)
    assert not still_true(letter, asked, asked.decide_by * 1000)
    # The board hears of it from the beginning, for it will be theirs.
    assert told(None, asked, board=TargetTerms(groups=("board",))) == ["asked", "escalated"]


def test_nothing_of_the_call_and_its_binding_is_told() -> None:
    [letter] = letters_of(None, an_approval(arguments="digest-of-them", binding="binding-of-it"), ALL, NOW)
    assert b"digest-of-them" not in letter.notice
    assert b"binding-of-it" not in letter.notice


def letter(attempts: int = 1, give_up: int = NOW + 3_600_000) -> Letter:
    [found] = letters_of(None, an_approval(), ALL, NOW)
    return structs.replace(found, attempts=attempts, give_up=give_up)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e9))
def test_delays_grow_and_stay_within_bounds(attempts: int, chance: float, asked: float | None) -> None:
    found = delay_of(attempts, chance, asked)
    assert 2.5 <= found <= LONGEST_SECONDS
    assert found >= min(asked or 0, LONGEST_SECONDS)
    assert delay_of(attempts + 1, chance, asked) >= found


@given(st.integers(100, 599), st.integers(1, 50), st.integers(0, 10**8))
def test_every_answer_ends_or_is_tried_later(status: int, attempts: int, left: int) -> None:
    before = letter(attempts, NOW + left)
    after = after_attempt(before, NOW, 0.5, status)
    assert (after.id, after.notice) == (before.id, before.notice)
    match after.standing:
        case "delivered":
            assert 200 <= status < 300
        case "waiting":
            assert NOW < after.due < before.give_up
        case "dead":
            assert status == 410 or NOW + delay_of(attempts, 0.5) * 1000 >= before.give_up - 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("", None), ("soon", None), ("-1", None), ("1.5", None), ("٣", None), ("120", 120.0),
        ("9" * 40, LONGEST_SECONDS), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (format_datetime(datetime.fromtimestamp(NOW / 1000 + 90, UTC), usegmt=True), 90.0),
    ],
)  # fmt: skip
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW // 1000) == seconds
