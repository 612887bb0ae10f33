"""What a name stands for: the last answer, and for a while the earlier ones; never more than answers said."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from hopgate_bpf.rules.names import MAX_ADDRESSES, Answer, KnownName, LookupFailed, NameTimes, learned, next_change

TIMES = NameTimes(floor=5, ceiling=300, grace=600, retry=7)
A, B, C = (IPv4Address(f"192.0.2.{number}") for number in (1, 2, 3))


def answer(*addresses: IPv4Address, ttl: float = 60) -> Answer:
    return Answer(frozenset(addresses), ttl)


def test_an_address_that_left_the_answer_is_kept_for_the_grace_period() -> None:
    known = learned(None, answer(A), 0, TIMES)
    known = learned(known, answer(B), 60, TIMES)
    assert known.usable(60, TIMES) == {A, B}
    assert known.usable(660, TIMES) == {A, B}
    assert known.usable(661, TIMES) == {B}


def test_the_time_to_live_is_kept_to_within_limits() -> None:
    assert learned(None, answer(A, ttl=0), 100, TIMES).due == 105
    assert learned(None, answer(A, ttl=60), 100, TIMES).due == 160
    assert learned(None, answer(A, ttl=86_400), 100, TIMES).due == 400


def test_what_is_known_outlives_failing_lookups_by_the_grace_period_only() -> None:
    known = learned(None, answer(A), 0, TIMES)
    for moment in range(60, 660, 60):
        known = learned(known, LookupFailed("no answer"), moment, TIMES)
        assert known.due == moment + 7
        assert known.usable(moment, TIMES) == {A}
    assert known.usable(660, TIMES) == {A}
    assert known.usable(661, TIMES) is None
    assert learned(known, answer(B), 700, TIMES).usable(700, TIMES) == {A, B}


def test_a_name_that_never_had_an_answer_is_unknown_but_one_without_addresses_is_known() -> None:
    assert learned(None, LookupFailed("refused"), 0, TIMES).usable(0, TIMES) is None
    assert learned(None, answer(), 0, TIMES).usable(0, TIMES) == frozenset()


def test_a_name_with_too_many_addresses_is_unknown() -> None:
    many = [IPv4Address(number) for number in range(MAX_ADDRESSES + 1)]
    assert learned(None, answer(*many), 0, TIMES).usable(0, TIMES) is None
    assert learned(None, answer(*many[1:]), 0, TIMES).usable(0, TIMES) == set(many[1:])


def test_the_next_change_is_a_lookup_or_the_end_of_a_grace_period() -> None:
    known = learned(learned(None, answer(A), 0, TIMES), answer(B, ttl=300), 60, TIMES)
    assert next_change({}, TIMES, 0) is None
    assert next_change({"a": known}, TIMES, 60) == 360
    assert next_change({"a": known}, TIMES, 361) == 361
    late = KnownName(known.seen, known.current, 1000, 1000)
    assert next_change({"a": late}, TIMES, 361) == 660


steps = st.tuples(
    st.integers(0, 400), st.one_of(st.just(LookupFailed("x")), st.builds(answer, *[st.sampled_from([A, B, C])] * 2))
)


@given(st.lists(steps, min_size=1, max_size=12))
def test_a_name_stands_for_the_answer_and_for_nothing_older_than_the_grace_period(
    said: list[tuple[int, Answer | LookupFailed]],
) -> None:
    now, known = 0, None
    true_until: dict[IPv4Address, float] = {}
    last: frozenset[IPv4Address] = frozenset()
    for pause, each in said:
        now += pause
        known = learned(known, each, now, TIMES)
        if isinstance(each, Answer):
            true_until |= dict.fromkeys(last | each.addresses, now)
            last = each.addresses
        usable = known.usable(now, TIMES)
        if usable is not None:
            assert last <= usable <= last | {address for address, at in true_until.items() if now - at <= TIMES.grace}
        if isinstance(each, Answer):
            assert usable is not None
