"""The smallest automaton that accepts the same, and its tables as they are sent.

By refinement of partitions (Moore): states are told apart until no byte tells two of a block apart. States are numbered
in the order that a walk from the start meets them, bytes in ascending order, so equal rules are equal bytes.
"""

import struct
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.core.kernel.automaton import Matching
from gateway.core.kernel.rules import MAX_TRANSITIONS, Automaton


class Minimal(Struct, frozen=True):
    """Like ``Matching``, but each state says what is accepted."""

    otherwise: tuple[int, ...]
    named: tuple[Mapping[int, int], ...]
    accepts: tuple[int, ...]


def minimal(found: Matching, accepts: Sequence[int]) -> Minimal:
    """The smallest automaton whose states accept what ``accepts`` says of the states of ``found``."""
    block = list(accepts)
    count = len(set(block))
    while True:
        signatures: dict[object, int] = {}
        refined = [
            signatures.setdefault(_signature(found, state, block), len(signatures)) for state in range(len(block))
        ]
        block = refined
        if len(signatures) == count:
            return _numbered(found, accepts, block)
        count = len(signatures)


def tables(automaton: Minimal) -> Automaton | None:
    """The automaton as it is sent; None where its table would be larger than rules may be."""
    columns: dict[tuple[int, ...], int] = {}
    byte_classes = bytearray(256)
    named = sorted({byte for state in automaton.named for byte in state})
    plain = tuple(automaton.otherwise)
    if len(named) < 256:
        columns[plain] = 0
    for byte in named:
        column = tuple(
            state.get(byte, other) for state, other in zip(automaton.named, automaton.otherwise, strict=True)
        )
        byte_classes[byte] = columns.setdefault(column, len(columns))
    states = len(automaton.accepts)
    if states * len(columns) > MAX_TRANSITIONS:
        return None
    flat = [column[state] for state in range(states) for column in columns]
    return Automaton(
        states=states,
        start=0,
        classes=bytes(byte_classes),
        transitions=struct.pack(f"<{len(flat)}H", *flat),
        accepts=bytes(automaton.accepts),
    )


def _signature(found: Matching, state: int, block: Sequence[int]) -> object:
    other = block[found.otherwise[state]]
    different = [(byte, block[on]) for byte, on in found.named[state].items() if block[on] != other]
    return block[state], other, tuple(sorted(different))


def _numbered(found: Matching, accepts: Sequence[int], block: Sequence[int]) -> Minimal:
    """One state for each block that the start leads to."""
    member = {number: state for state, number in reversed(list(enumerate(block)))}
    numbers = {block[0]: 0}
    waiting = [block[0]]
    otherwise: list[int] = []
    named: list[dict[int, int]] = []
    for each in waiting:
        state = member[each]
        other = block[found.otherwise[state]]
        steps = {byte: block[on] for byte, on in sorted(found.named[state].items()) if block[on] != other}
        for on in (other, *steps.values()):
            if on not in numbers:
                numbers[on] = len(numbers)
                waiting.append(on)
        otherwise.append(numbers[other])
        named.append({byte: numbers[on] for byte, on in steps.items()})
    return Minimal(tuple(otherwise), tuple(named), tuple(accepts[member[each]] for each in waiting))
