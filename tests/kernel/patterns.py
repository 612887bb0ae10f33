"""A small automaton from path patterns, so that the tests of the kernel half don't wait on the compiler's."""

from array import array
from collections.abc import Sequence

from hopgate_bpf.rules.document import Automaton

Patterns = Sequence[tuple[str, int]]
"""Pattern, where ``*`` is any run of bytes, and mask."""
Position = tuple[int, int]


def automaton(permits: Patterns, forbids: Patterns = ()) -> Automaton:
    """What permits give minus what forbids take, by subset construction."""
    patterns = [pattern.encode() for pattern, _ in (*permits, *forbids)]
    letters = sorted({byte for pattern in patterns for byte in pattern} - {ord("*")})
    byte_class = {byte: number for number, byte in enumerate(letters, 1)}
    start = _closed({(number, 0) for number in range(len(patterns))}, patterns)
    states: dict[frozenset[Position], int] = {start: 0}
    rows: list[list[int]] = []
    waiting = [start]
    for state in waiting:
        row = []
        for byte in (None, *letters):
            after = _closed({step for each in state for step in _steps(each, byte, patterns)}, patterns)
            if after not in states:
                states[after] = len(states)
                waiting.append(after)
            row.append(states[after])
        rows.append(row)
    masks = [mask for _, mask in permits] + [mask for _, mask in forbids]
    return Automaton(
        states=len(states),
        start=0,
        classes=bytes(byte_class.get(byte, 0) for byte in range(256)),
        transitions=array("H", [each for row in rows for each in row]).tobytes(),
        accepts=bytes(_mask(state, patterns, masks, len(permits)) for state in states),
    )


def _closed(state: set[Position], patterns: Sequence[bytes]) -> frozenset[Position]:
    """With everything that follows when a star stands for nothing."""
    closed = set(state)
    for number, at in state:
        while patterns[number][at : at + 1] == b"*":
            at += 1
            closed.add((number, at))
    return frozenset(closed)


def _steps(position: Position, byte: int | None, patterns: Sequence[bytes]) -> Sequence[Position]:
    number, at = position
    here = patterns[number][at : at + 1]
    if here == b"*":
        return [position]
    return [(number, at + 1)] if byte is not None and here == bytes([byte]) else []


def _mask(state: frozenset[Position], patterns: Sequence[bytes], masks: Sequence[int], permits: int) -> int:
    matched = [number for number, at in state if at == len(patterns[number])]
    given = taken = 0
    for number in matched:
        if number < permits:
            given |= masks[number]
        else:
            taken |= masks[number]
    return given & ~taken


def verdict(read: Automaton, path: bytes) -> int:
    """The mask of ``path``."""
    table, state = array("H", read.transitions), 0
    for byte in path:
        state = table[state * read.byte_classes + read.classes[byte]]
    return read.accepts[state]
