"""The simulation of live ancestry: the same seed gives the same figures, and they are those that are published."""

from pathlib import Path

import pytest

from bench.ancestry import BOTH, DAY_SECONDS, Day, Scenario, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "CHAINS.md"
SMALL = Scenario("small", users=4)


def test_the_published_table_is_what_the_simulation_says() -> None:
    assert table() in PAGE.read_text()


def test_the_same_seed_gives_the_same_day_and_another_seed_another() -> None:
    assert Day(SMALL, 1).run() == Day(SMALL, 1).run() != Day(SMALL, 2).run()


@pytest.mark.parametrize("seed", range(3))
def test_the_figures_hold_together(seed: int) -> None:
    found = Day(SMALL, seed).run()
    assert 0 < found.raised.total() <= found.both
    assert min(found.raised) >= 2, "whoever is raised looks deeper than its own call is"
    assert found.delegations > 0
    assert found.jobs == found.raised_jobs.total() == 0


def test_without_delegations_to_it_nobody_is_raised() -> None:
    """A front is never called, so it is never suspected, however busy the day."""
    found = Day(Scenario("fronts only", direct=0), 1).run()
    assert found.both == found.raised.total() == 0
    assert found.fronts > 1000


def test_jobs_run_at_their_times() -> None:
    found = Day(Scenario("jobs", users=0, jobs_minutes=10), 1).run()
    assert found.jobs == len(BOTH) * 3 * (DAY_SECONDS // 600)
    assert found.raised_jobs.total() == 0, "nobody has asked them anything"
