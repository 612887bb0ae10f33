"""How settled a recommendation is: learning, stabilising or stable."""

from typing import Literal

from msgspec import Struct

from gateway.core.policy.recommend_pockets import Caution

Phase = Literal["learning", "stabilising", "stable"]
PHASES: tuple[Phase, ...] = ("learning", "stabilising", "stable")


class Thresholds(Struct, frozen=True, kw_only=True):
    """What it takes to go on to the next phase."""

    calls: int = 20
    """Fewest calls, or it is still learning; also what it takes to recommend anything by name."""
    days: int = 3
    """Fewest days with calls."""
    new: float = 0.05
    """Most of the recent calls that may be of pairs of agent and tool not seen before, or it is stabilising."""
    recent_from: int
    """Unix milliseconds from which a call is recent."""
    caution: Caution = Caution()


def phase_of(calls: int, days: int, new: float, thresholds: Thresholds) -> Phase:
    """The phase of what was called so often, on so many days, with so large a share of new pairs lately."""
    if calls < thresholds.calls or days < thresholds.days:
        return "learning"
    return "stabilising" if new > thresholds.new else "stable"
