"""Whether a region holds a pocket: a block where use was to be expected, and wasn't.

Use is sparse even where everything is permitted, so its absence is evidence only where use that is spread over the
region would have shown. A block is what one term sets apart, or two. Agents have habits, so that one agent's absence
says little; nor is a pocket what a handful of agents don't do.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from gateway.core.policy.recommend_terms import Space, Term

_PROBED = 8
"""Blocks of a region that are looked into further: those that were used the least."""


class Caution(Struct, frozen=True):
    """How much use, and how little, says something."""

    pocket_bits: float = 10
    """Evidence, in bits, that a block without use that one term sets apart isn't so by chance."""
    deep_bits: float = 14
    """The same for blocks of two terms, of which there are many more."""
    agent_bits: float = 3
    """What one agent's lack of use says at most: agents have habits."""
    user_bits: float = 20
    """The same for kinds of users: calls of one pair of agent and tool come from few people, so they tell less."""
    deep_user_bits: float = 30
    pocket_share: float = 0.05
    """A block is as good as unused when it was used at most this much of what the region was."""
    density: float = 0.03
    """Least share of a region's requests that were used: of a region that is hardly used nothing can be told."""
    cautious: bool = False
    """Whether a region also has to be used densely and evenly enough for all of it, by the five below."""
    share: float = 0.2
    """Least share of a region's requests that were used for anyone: less doesn't speak for the rest of it."""
    users_share: float = 0.1
    """The same where a region is for some users only: agents that none of them asks look as if they couldn't."""
    habits: float = 1.5
    """Most by which use of one tool may make an agent likelier to use another one of the region."""
    popularity: float = 1.7
    """Most by which use by one agent may make a tool likelier to be used by another one of the region."""
    saved_bits: float = 10
    """Least that a region must save beyond what its conditions cost: less is found by looking at so many."""
    agents: int = 3
    """Fewest agents that must have used what an attribute-based policy permits."""
    pairs: int = 8
    """Fewest pairs of agent and tool that must have been used."""


class Row(Struct, frozen=True):
    """What one agent could ask for, and what of it was used, as bits of tools."""

    agent: int
    cells: int
    used: int


class _Part(Struct, frozen=True):
    """What a term sets apart of some rows, or (not ``inside``) all but that."""

    side: Literal["agent", "tool", "pair"]
    term: Term
    mask: int
    """Of tools."""
    inside: bool
    count: int
    used: int


class Test:
    """Whether blocks are pockets, where a ``share`` of the requests was to be expected."""

    def __init__(self, share: float, least_share: float, bits: float) -> None:
        self._share = share
        self._most = least_share * share
        self._bits = bits
        self._empty = -math.log2(1 - share) if share < 1 else math.inf
        """What one request without use says."""
        self.least = bits / self._empty if self._empty else math.inf
        """Fewest requests whose lack of use says enough."""

    def is_pocket(self, count: int, used: int) -> bool:
        """Whether of ``count`` requests so few were used that it isn't chance."""
        if count < self.least or used > self._most * count:
            return False
        return not used or surprise(used, count, self._share) >= self._bits

    def is_told(self, counts: Iterable[int], most: float) -> bool:
        """Whether it says enough where each agent, of so many requests, says ``most`` bits at most."""
        return sum(min(count * self._empty, most) for count in counts) >= self._bits


def rows_of(space: Space, cells: int, used: int) -> list[Row]:
    """The agents that could ask for something."""
    both = zip(space.cut(cells), space.cut(used), strict=True)
    return [Row(agent, row, made) for agent, (row, made) in enumerate(both) if row]


def has_pocket(space: Space, rows: Sequence[Row], share: float, caution: Caution) -> bool:
    """Whether one term sets a pocket apart, or two. ``share`` of the requests was used."""
    test = Test(share, caution.pocket_share, caution.pocket_bits)
    deep = Test(share, caution.pocket_share, caution.deep_bits)
    parts = list(_parts(space, rows))
    if any(_is_pocket(space, rows, part, test, caution) for part in parts):
        return True
    large = sorted(
        (part for part in parts if part.count >= deep.least),
        key=lambda part: (part.used / part.count, part.term, part.inside),
    )
    for block in large[:_PROBED]:
        within = _of(space, rows, block)
        if any(_is_pocket(space, within, part, deep, caution) for part in _parts(space, within)):
            return True
    return False


def _is_pocket(space: Space, rows: Sequence[Row], part: _Part, test: Test, caution: Caution) -> bool:
    if not test.is_pocket(part.count, part.used):
        return False
    counts = (row.cells.bit_count() for row in _of(space, rows, part))
    return test.is_told(counts, caution.agent_bits)


def _parts(space: Space, rows: Sequence[Row]) -> Iterator[_Part]:
    """Both sides of every term that splits the rows; of terms that split them alike, one."""
    sizes = [(row, row.cells.bit_count(), row.used.bit_count()) for row in rows]
    size, total = sum(count for _, count, _ in sizes), sum(used for _, _, used in sizes)
    agents: dict[Term, list[int]] = {}
    everything = 0
    for row, count, used in sizes:
        everything |= row.cells
        for term in space.of_agent[row.agent]:
            known = agents.setdefault(term, [0, 0])
            known[0] += count
            known[1] += used
    found = [_Part("agent", term, 0, True, count, used) for term, (count, used) in agents.items()]
    masks = {mask & everything: term for term, mask in space.tool_masks.items()}
    found += [_split("tool", term, mask, rows) for mask, term in masks.items() if mask]
    for term, by_agent in space.relations.items():
        found.append(_split("pair", term, 0, [_masked(row, by_agent[row.agent]) for row in rows]))
    for part in found:
        if part.count not in (0, size):
            yield part
            yield _Part(part.side, part.term, part.mask, False, size - part.count, total - part.used)


def _split(side: Literal["tool", "pair"], term: Term, mask: int, rows: Sequence[Row]) -> _Part:
    if side == "pair":
        count, used = sum(row.cells.bit_count() for row in rows), sum(row.used.bit_count() for row in rows)
    else:
        count = sum((row.cells & mask).bit_count() for row in rows)
        used = sum((row.used & mask).bit_count() for row in rows)
    return _Part(side, term, mask, True, count, used)


def _of(space: Space, rows: Sequence[Row], part: _Part) -> list[Row]:
    """The rows of a part."""
    if part.side == "agent":
        return [row for row in rows if (part.term in space.of_agent[row.agent]) is part.inside]
    if part.side == "tool":
        mask = part.mask if part.inside else ~part.mask
        found = [_masked(row, mask) for row in rows]
    else:
        by_agent = space.relations[part.term]
        found = [_masked(row, by_agent[row.agent] if part.inside else ~by_agent[row.agent]) for row in rows]
    return [row for row in found if row.cells]


def _masked(row: Row, mask: int) -> Row:
    return Row(row.agent, row.cells & mask, row.used & mask)


def surprise(used: int, size: int, share: float) -> float:
    """Bits by which ``used`` of ``size`` differs from the ``share`` that was to be expected."""
    if not size:
        return 0.0
    found, expected = used / size, min(max(share, 1e-9), 1 - 1e-9)
    parts = ((found, expected), (1 - found, 1 - expected))
    return size * sum(one * math.log2(one / other) for one, other in parts if one > 0)
