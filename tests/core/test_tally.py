"""Counts are never too low, waits are exact, and no name loses counts by others coming in."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.tally import HOUR, MINUTE, Tallies, Window

MOMENTS = st.lists(st.tuples(st.integers(-20_000, 90_000), st.integers(1, 5)), max_size=60)
"""Steps of a clock, some of them back, and what happens then."""


def moments(steps: list[tuple[int, int]], start: int = 1_000_000) -> list[tuple[int, int]]:
    """Times and amounts; the clock may go back, but not before it began."""
    found, now = [], start
    for step, amount in steps:
        now = max(start, now + step)
        found.append((now, amount))
    return found


@given(MOMENTS)
def test_a_window_holds_all_of_its_length_and_at_most_a_twelfth_more(steps):
    window, done, latest = Window(MINUTE), [], 0
    for now, amount in moments(steps):
        latest = max(latest, now)
        window.add(now, amount)
        done.append((latest, amount))
        total = window.total(now)
        assert total >= sum(each for at, each in done if at > latest - MINUTE)
        assert total <= sum(each for at, each in done if at > latest - MINUTE - MINUTE // 12)


@given(MOMENTS, st.integers(1, 8), st.sampled_from([MINUTE, HOUR]))
def test_no_more_than_the_quota_is_let_in_whatever_the_moment(steps, most, length):
    window, let_in, latest = Window(length), [], 0
    for now, _ in moments(steps):
        latest = max(latest, now)
        if window.total(now) < most:
            window.add(now, 1)
            let_in.append(latest)
    for at in let_in:
        assert sum(at - length < other <= at for other in let_in) <= most


@given(MOMENTS, st.integers(0, 20), st.sampled_from([MINUTE, HOUR]))
def test_waiting_as_long_as_is_said_makes_room_and_a_moment_less_does_not(steps, room, length):
    window, now = Window(length), 1_000_000
    for at, amount in moments(steps):
        now = max(now, at)
        window.add(at, amount)
    wait = window.wait(now, room)
    seconds = math.ceil(wait / 1000)
    if wait:
        before = window.like()
        assert before.total(now + wait - 1) > room
    assert window.total(now + seconds * 1000) <= room
    assert wait <= length + length // 12


def test_a_clock_that_goes_back_frees_nothing():
    window = Window(MINUTE)
    window.add(MINUTE * 10, 3)
    assert window.total(0) == 3
    window.add(0, 1)
    assert (window.total(MINUTE * 10), window.total(MINUTE * 12)) == (4, 0)


def test_new_names_push_out_only_who_has_nothing_left_to_lose():
    table = Tallies(2)
    for name in ("a", "b"):
        table.of(name, 0).requests_minute.add(0, 5)
    assert table.of("c", 1_000) is table.shared, "a and b still count"
    assert table.of("a", 1_000).requests_minute.total(1_000) == 5
    late = 2 * MINUTE
    assert table.of("c", late) is not table.shared
    assert (len(table), table.find("a") is None or table.find("b") is None) == (2, True)


def test_a_name_takes_along_what_it_did_while_it_shared():
    """Or whoever fills the table would begin anew as soon as there is room."""
    table = Tallies(1)
    table.of("a", 0).requests_minute.add(0, 1)
    table.of("b", 0).requests_minute.add(0, 7)
    table.shared.requests_hour.add(0, 7)
    later = 65_000
    assert table.of("b", later) is not table.shared
    assert table.of("b", later).requests_hour.total(later) == 7


def test_a_name_with_calls_that_share_stays_with_them():
    table = Tallies(1)
    first = table.of("a", 0)
    first.requests_minute.add(0, 1)
    shared = table.of("b", 0)
    table.begin("b", shared)
    later = 2 * MINUTE
    assert table.of("b", later) is shared
    assert table.of("c", later) is not shared
    table.end("b", shared)
    assert (shared.concurrent, len(table)) == (0, 1)


def test_a_running_call_keeps_its_counts_however_old_it_is():
    table = Tallies(2)
    running = table.of("a", 0)
    table.begin("a", running)
    for number in range(50):
        assert table.of(f"other-{number}", HOUR * 2 * (number + 1)) is not table.shared, "the idle one makes room"
    assert table.find("a") is running
    assert len(table) <= 2


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 20_000), st.booleans()), max_size=80))
def test_whatever_comes_no_count_is_lost_and_none_is_negative(events):
    table, now, open_calls, done = Tallies(3), 0, [], {}
    for name, step, ends in events:
        now += step
        tally = table.of(name, now)
        tally.requests_minute.add(now, 1)
        done.setdefault(name, []).append(now)
        assert tally.requests_minute.total(now) >= sum(at > now - MINUTE for at in done[name])
        table.begin(name, tally)
        open_calls.append((name, tally))
        if ends:
            table.end(*open_calls.pop(0))
        assert len(table) <= 3
        assert tally.concurrent >= sum(other == name for other, _ in open_calls)
    for call in open_calls:
        table.end(*call)
    assert table.shared.concurrent == 0
    assert all(table.find(name).concurrent == 0 for name in table.names())


@pytest.mark.parametrize("length", [MINUTE, HOUR])
def test_a_long_silence_empties_a_window(length):
    window = Window(length)
    window.add(0, 4)
    assert window.total(length * 100) == 0
