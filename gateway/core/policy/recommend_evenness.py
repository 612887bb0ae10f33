"""Whether the use of a region speaks for all of it: whether it is used enough, and by and of all alike.

Lack of use is judged elsewhere, block by block (``recommend_pockets``); here the region as a whole. Of what only names
tell apart, a list of agents and tools, no attribute sets a pocket apart: each region holds some of it, thinly.

Each agent, and each tool, is held out in turn. Where the rule is what the region says, the others' rate tells what the
one held out uses, whoever it is; where the region only happens to hold some who use much, or a few tools that are used,
having seen one use tells far more than the rate does.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from gateway.core.policy.recommend_pockets import Caution, Row

_TESTABLE = 2
"""Tools that an agent must be able to ask for: of one tool, a rule looks like a list of those who used it."""


def speaks_for_all(rows: Sequence[Row], used_by_anyone: int, least: float, caution: Caution) -> bool:
    """Whether what was used of the rows lets one expect the same of all of them.

    ``used_by_anyone``: requests of the rows that were made for some user, whoever it was. ``least``: share of the
    requests that must have been.
    """
    size = sum(row.cells.bit_count() for row in rows)
    if used_by_anyone < least * size:
        return False
    by_agent = [(row.cells.bit_count(), row.used.bit_count()) for row in rows]
    if all(count < _TESTABLE for count, _ in by_agent) or _telling(by_agent) > caution.habits:
        return False
    return _telling(_by_tool(rows)) <= caution.popularity


def _by_tool(rows: Iterable[Row]) -> list[tuple[int, int]]:
    """Of each tool, the agents that could ask for it, and those that did."""
    asked, used = Counter[int](), Counter[int]()
    for row in rows:
        asked.update(_tools(row.cells))
        used.update(_tools(row.used))
    return [(count, used[tool]) for tool, count in asked.items()]


def _telling(counts: Sequence[tuple[int, int]]) -> float:
    """How many times likelier a request is used where another of the same agent or tool was; 1: no likelier.

    ``counts``: requests there are and requests that were used, for each agent or for each tool.
    """
    size, used = sum(count for count, _ in counts), sum(made for _, made in counts)
    others = sum(count * (count - 1) for count, _ in counts)
    if not others or not used:
        return 1.0
    return sum(made * (made - 1) for _, made in counts) / others * (size / used) ** 2


def _tools(cells: int) -> list[int]:
    return [tool for tool in range(cells.bit_length()) if cells >> tool & 1]
