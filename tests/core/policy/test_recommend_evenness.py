"""Whether use speaks for a whole region: thin use, few agents and few tools don't; even use does."""

import pytest

from gateway.core.policy.recommend_evenness import speaks_for_all
from gateway.core.policy.recommend_pockets import Caution, Row

EVERY = (1 << 8) - 1
CASES = {
    "all alike": ([0b01010101] * 10 + [0b10101010] * 10, 0.2, True),
    "thin": ([1 << number % 8 for number in range(20)], 0.2, False),
    "thin, but some users only": ([1 << number % 8 for number in range(20)], 0.1, True),
    "half of the agents": ([EVERY] * 10 + [0] * 10, 0.2, False),
    "two of the tools": ([0b11] * 20, 0.2, False),
    "nothing": ([0] * 20, 0.2, False),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_use_speaks_for_all_only_where_it_is_dense_and_even(case):
    used, least, speaks = CASES[case]
    rows = [Row(agent, EVERY, made) for agent, made in enumerate(used)]
    made = sum(row.used.bit_count() for row in rows)
    assert speaks_for_all(rows, made, least, Caution()) is speaks


def test_use_for_others_counts_as_use_of_the_region():
    rows = [Row(agent, EVERY, 1 << agent % 8) for agent in range(24)]
    assert not speaks_for_all(rows, 24, 0.2, Caution())
    assert speaks_for_all(rows, 48, 0.2, Caution())
