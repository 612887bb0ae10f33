"""A call fits in all quotas or in none, runs until it is released, and policies see itself included."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.metering import Metering
from gateway.core.quotas import NO_QUOTAS, Quota, Quotas
from gateway.core.tally import HOUR, MINUTE
from gateway.core.usage import Subject

AGENT, TEAM, TOOL = Subject("agent", "analyst"), Subject("team", "finance"), Subject("tool", "ledger/pay")
PAIR = Subject("agent_tool", "analyst", "ledger/pay")
HEAD, WHOLE = [AGENT, TEAM], [AGENT, TEAM, TOOL, PAIR]


def of_agent(**quota: int) -> Quotas:
    return Quotas(named={"agent": {"*": Quota(**quota)}})


def called(metering: Metering, quotas: Quotas, now: int = 0, size: int = 10):
    """A call as the gateway makes it: the call, and what it was too much of."""
    call = metering.call()
    excess = call.arrives(HEAD, quotas, size, now) or call.counts(WHOLE, quotas, size, now)
    return call, excess


def test_without_quotas_all_is_counted_and_nothing_refused():
    metering = Metering()
    for _ in range(3):
        call, excess = called(metering, NO_QUOTAS)
        assert excess is None
    usage = call.usage(0)
    assert (usage.agent_requests_minute, usage.agent_concurrent, usage.agent_bytes_hour) == (3, 3, 30)
    assert (usage.agent_tool_requests_minute, usage.tool_concurrent, usage.user_requests_minute) == (3, 3, 0)


def test_what_one_quota_refuses_is_counted_for_nobody():
    quotas = Quotas(named={"tool": {"ledger/pay": Quota(requests_per_minute=1)}})
    metering = Metering()
    assert called(metering, quotas)[1] is None
    call, excess = called(metering, quotas)
    assert str(excess) == "tool ledger/pay may have 1 requests a minute"
    call.release()
    assert metering.tally(AGENT, 0).requests_minute.total(0) == 1
    assert metering.tally(AGENT, 0).concurrent == 1


def test_the_longest_wait_is_told_since_after_it_nothing_is_in_the_way():
    quotas = Quotas(
        named={"agent": {"*": Quota(requests_per_minute=1, concurrent=1)}, "team": {"*": Quota(requests_per_hour=1)}}
    )
    metering = Metering()
    first, _ = called(metering, quotas)
    _, excess = called(metering, quotas)
    assert (excess.subject, excess.limit) == (TEAM, "requests_per_hour")
    first.release()
    assert called(metering, quotas, now=excess.wait)[1] is None


def test_a_call_at_the_door_takes_a_place_before_its_body_is_read():
    """Else many slow bodies would wait side by side."""
    quotas, metering = of_agent(concurrent=2), Metering()
    waiting = [metering.call() for _ in range(3)]
    found = [call.arrives(HEAD, quotas, 0, 0) for call in waiting]
    assert [excess is None for excess in found] == [True, True, False]
    assert found[2].limit == "concurrent"
    assert waiting[0].counts(WHOLE, quotas, 10, 0) is None, "its own place isn't in its way"


def test_bytes_are_refused_by_what_the_head_announces():
    quotas, metering = of_agent(bytes_per_hour=100), Metering()
    assert called(metering, quotas, size=60)[1] is None
    assert metering.call().arrives(HEAD, quotas, 41, 0).limit == "bytes_per_hour"
    assert metering.call().arrives(HEAD, quotas, 40, 0) is None
    assert metering.call().arrives(HEAD, quotas, 101, 0).wait is None, "waiting would never help"


def test_an_answer_that_is_too_much_is_told_at_once_and_counted_all_the_same():
    quotas, metering = of_agent(bytes_per_hour=100), Metering()
    call, _ = called(metering, quotas, size=60)
    assert call.answers(40, quotas, 0) is None
    excess = call.answers(1, quotas, 0)
    assert (excess.subject, excess.limit) == (AGENT, "bytes_per_hour")
    call.release()
    assert called(metering, quotas, now=excess.wait - 1, size=1)[1] is not None
    assert called(metering, quotas, now=excess.wait, size=1)[1] is None


def test_releasing_twice_frees_one_place_and_what_is_over_can_not_begin():
    metering = Metering()
    other, _ = called(metering, NO_QUOTAS)
    call, _ = called(metering, NO_QUOTAS)
    call.release()
    call.release()
    assert metering.tally(AGENT, 0).concurrent == 1
    with pytest.raises(RuntimeError):
        call.arrives(HEAD, NO_QUOTAS, 0, 0)
    other.release()


def test_the_more_exact_quota_wins_value_by_value():
    quotas = Quotas(
        named={"agent": {"*": Quota(requests_per_minute=5, concurrent=7), "analyst": Quota(requests_per_minute=9)}},
        pairs={
            "agent_tool": {
                "*": {"*": Quota(concurrent=1), "ledger/pay": Quota(requests_per_hour=2)},
                "analyst": {"*": Quota(bytes_per_hour=3), "ledger/pay": Quota(requests_per_minute=4)},
            }
        },
    )
    assert quotas.of(AGENT) == Quota(requests_per_minute=9, concurrent=7)
    assert quotas.of(Subject("agent", "other")) == Quota(requests_per_minute=5, concurrent=7)
    assert quotas.of(TEAM) == Quota()
    assert quotas.of(PAIR) == Quota(requests_per_minute=4, requests_per_hour=2, concurrent=1, bytes_per_hour=3)
    assert quotas.of(Subject("agent_tool", "other", "x/y")) == Quota(concurrent=1)


def test_a_peer_with_many_refusals_waits_exactly_until_they_are_past():
    metering, quotas = Metering(), Quotas(refused_per_minute=3)
    for _ in range(3):
        assert metering.wait_of_refused("p", quotas, 0) == 0
        metering.refused("p", 0)
    wait = metering.wait_of_refused("p", quotas, 0)
    assert metering.wait_of_refused("p", quotas, wait - 1) == 1
    assert metering.wait_of_refused("p", quotas, wait) == 0
    assert metering.wait_of_refused("q", quotas, 0) == 0


def test_standings_tell_who_has_done_something():
    metering = Metering()
    called(metering, NO_QUOTAS)
    (found,) = metering.standings("agent_tool", 0)
    assert (found.subject, found.counted.requests_hour, found.shared) == (PAIR, 1, False)
    assert list(metering.standings("user", 0)) == []
    assert metering.sizes()["agent"] == 1


STEPS = st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 60), st.booleans()), max_size=50)


@given(STEPS, st.integers(1, 6), st.integers(1, 4), st.integers(20, 200))
def test_no_quota_is_ever_exceeded_and_told_waits_work(steps, requests, concurrent, size):
    quotas = of_agent(requests_per_minute=requests, concurrent=concurrent, bytes_per_hour=size)
    metering, now, running, let_in = Metering(), HOUR, [], []
    for step, amount, ends in steps:
        now += step
        if ends and running:
            running.pop(0).release()
        call, excess = called(metering, quotas, now, amount)
        if excess is None:
            running.append(call)
            let_in.append((now, amount))
        else:
            call.release()
        assert len(running) <= concurrent
        assert metering.tally(AGENT, now).concurrent == len(running)
        assert sum(at > now - MINUTE for at, _ in let_in) <= requests
        assert sum(amount for at, amount in let_in if at > now - HOUR) <= size
    for call in running:
        call.release()
    call, excess = called(metering, quotas, now, 1)
    call.release()
    if excess is not None:
        call, excess = called(metering, quotas, now + excess.wait, 1)
        assert excess is None, "waiting as long as was said works"
        call.release()
    assert metering.tally(AGENT, now).concurrent == metering.tally(TOOL, now).concurrent == 0
