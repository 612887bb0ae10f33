"""Chains in random networks: whatever is done, in any order, no gateway does what the model forbids.

Requests go through the real pipeline with real keys; ``ghost`` says what each may lead to, and checks every claim of
every token that is handed out. Scope and del_scope never widen, depth is the number of actors and never falls, ``sub``,
``txn`` and ``root_exp`` stay (``root_exp`` may end sooner across domains, where it also is what it was when the chain
first came in), ``del_max_depth`` never rises, nothing serves after its end, at another place or in other hands.
"""

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.networks.machine import Networks

SHARES = 8
"""Searches that the examples are spread over: one of 10,000 keeps gigabytes of what it has tried."""


@pytest.mark.parametrize("share", range(SHARES))
def test_no_gateway_does_what_the_model_forbids(share: int) -> None:
    """``share`` only counts: every search begins at random."""
    examples = -(-settings.default.max_examples // SHARES)
    run_state_machine_as_test(Networks, settings=settings(max_examples=examples, stateful_step_count=60))


def test_every_way_is_walked() -> None:
    """The machine isn't empty: on a few networks each way in is taken, and most thefts are refused."""

    class Counted(Networks):
        totals: ClassVar[Counter[str]] = Counter()

    few = settings(max_examples=25, stateful_step_count=60, derandomize=True, database=None)
    run_state_machine_as_test(Counted, settings=few)
    found = Counted.totals
    assert all(found[f"accepted {kind}"] for kind in ("call", "exchange", "redeem")), found
    assert all(found[kind] for kind in ("whole journeys", "forgeries", "lies", "attacks accepted")), found
    assert found["attacks accepted"] * 2 < found["attacks"], found
