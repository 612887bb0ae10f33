"""All path patterns of a class as one automaton, by subset construction, and which of them each state has matched.

What may be done in a state is decided elsewhere, from the vector of matches, so that ``!`` and ``&&`` are exact.
Positions of patterns are numbered; a state is the sorted tuple of those that the bytes so far lead to. Once a ``*``
of a pattern is reached, its earlier positions are dropped: whatever they could still match, the ``*`` matches too.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.core.kernel.pattern import Pattern

_Positions = tuple[int, ...]


class Matching(Struct, frozen=True):
    """An automaton over bytes. State 0 is the start; a byte that a state doesn't name leads to its ``otherwise``."""

    otherwise: tuple[int, ...]
    named: tuple[Mapping[int, int], ...]
    matched: tuple[frozenset[int], ...]
    """By state: the numbers of the patterns that the bytes read so far match."""

    def step(self, state: int, byte: int) -> int:
        """Where ``byte`` leads."""
        return self.named[state].get(byte, self.otherwise[state])

    def after(self, path: bytes, state: int = 0) -> int:
        """Where ``path`` leads."""
        for byte in path:
            state = self.step(state, byte)
        return state

    def reached(self, state: int) -> frozenset[int]:
        """All states that some bytes lead to from ``state``, itself included."""
        seen, waiting = {state}, [state]
        while waiting:
            each = waiting.pop()
            for following in {self.otherwise[each], *self.named[each].values()} - seen:
                seen.add(following)
                waiting.append(following)
        return frozenset(seen)


class _Patterns(Struct, frozen=True):
    """By position: the byte that leads on, whether any byte may stay, and the pattern."""

    following: tuple[int | None, ...]
    stays: tuple[bool, ...]
    owner: tuple[int, ...]
    first: tuple[int, ...]

    def kept(self, positions: set[int]) -> _Positions:
        """The positions without those that lie before a reached ``*`` of their pattern."""
        found: list[int] = []
        passed = -1
        for position in sorted(positions, reverse=True):
            if self.owner[position] == passed:
                continue
            found.append(position)
            if self.stays[position]:
                passed = self.owner[position]
        return tuple(reversed(found))

    def steps(self, state: _Positions) -> tuple[_Positions, dict[int, _Positions]]:
        """Where any byte leads, and where those lead that some position waits for."""
        staying = {position for position in state if self.stays[position]}
        waiting: dict[int, set[int]] = {}
        for position in state:
            byte = self.following[position]
            if byte is not None:
                waiting.setdefault(byte, set()).add(position + 1)
        return self.kept(staying), {byte: self.kept(staying | on) for byte, on in sorted(waiting.items())}

    def matched(self, state: _Positions) -> frozenset[int]:
        """The patterns at whose end some position stands."""
        return frozenset(self.owner[position] for position in state if self.following[position] is None)


def matching(patterns: Sequence[Pattern], most: int) -> Matching | None:
    """The automaton of ``patterns``; None where it would have more than ``most`` states."""
    table = _table(patterns)
    start = table.kept(set(table.first))
    numbers = {start: 0}
    waiting = [start]
    otherwise: list[int] = []
    named: list[dict[int, int]] = []
    for state in waiting:
        default, steps = table.steps(state)
        for following in (default, *steps.values()):
            if following not in numbers:
                numbers[following] = len(numbers)
                waiting.append(following)
        if len(numbers) > most:
            return None
        otherwise.append(numbers[default])
        named.append({byte: numbers[on] for byte, on in steps.items() if on != default})
    return Matching(tuple(otherwise), tuple(named), tuple(map(table.matched, waiting)))


def _table(patterns: Sequence[Pattern]) -> _Patterns:
    following: list[int | None] = []
    stays: list[bool] = []
    owner: list[int] = []
    first: list[int] = []
    for number, pattern in enumerate(patterns):
        first.append(len(following))
        # The last byte of a part leads to the position where the `*` after it stays.
        starts = {sum(map(len, pattern.parts[:index])) for index in range(1, len(pattern.parts))}
        bytes_ = b"".join(pattern.parts)
        following += [*bytes_, None]
        stays += [index in starts for index in range(len(bytes_) + 1)]
        owner += [number] * (len(bytes_) + 1)
    return _Patterns(tuple(following), tuple(stays), tuple(owner), tuple(first))
