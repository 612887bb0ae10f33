"""The automaton of a class: whether it is whole, and what its states say of the paths that begin with theirs.

Runs over no path: the kernel does that.
"""

from array import array
from collections.abc import Iterable, Sequence
from sys import byteorder

from msgspec import Struct

from hopgate_bpf.rules.document import READ, WRITE, Automaton

ACTIONS = 15
LEADS = 16
"""Some path that starts with this one and a slash has an action (``bpf/src/image.h``)."""
WHOLE = 32
"""Every path that starts with this one and a slash may be read and written."""


class AutomatonFault(Struct, frozen=True):
    """``path`` is relative to the automaton."""

    path: str
    text: str


def automaton_fault(automaton: Automaton) -> AutomatonFault | None:
    """The first thing that is wrong with it; None: nothing is."""
    states, width = automaton.states, automaton.byte_classes
    if len(automaton.accepts) != states:
        return AutomatonFault(".accepts", f"{len(automaton.accepts)} masks for {states} states")
    if len(automaton.transitions) != 2 * states * width:
        text = f"{len(automaton.transitions)} bytes, not two for each of {states} states × {width} byte classes"
        return AutomatonFault(".transitions", text)
    if max(automaton.accepts) > ACTIONS:
        return AutomatonFault(".accepts", f"a mask is greater than {ACTIONS}")
    if max(transitions(automaton)) >= states:
        return AutomatonFault(".transitions", f"a transition leads to a state that isn't one of {states}")
    return None


def transitions(automaton: Automaton) -> Sequence[int]:
    """Row by row, the next state for each byte class."""
    read = array("H", automaton.transitions)
    if byteorder == "big":
        read.byteswap()
    return read


def with_prospects(automaton: Automaton) -> bytes:
    """``accepts``, with LEADS and WHOLE added to the states that they are true of."""
    table, width = transitions(automaton), automaton.byte_classes
    # A path holds no NUL: a class that only NUL is in leads nowhere.
    walked = sorted(set(automaton.classes[1:]))
    rows = [{table[state * width + each] for each in walked} for state in range(automaton.states)]
    before: list[list[int]] = [[] for _ in rows]
    for state, row in enumerate(rows):
        for after in row:
            before[after].append(state)
    accepts = automaton.accepts
    hopeful = _reaching(before, (state for state, mask in enumerate(accepts) if mask))
    spoilt = _reaching(before, (state for state, mask in enumerate(accepts) if mask & (READ | WRITE) != READ | WRITE))
    slash = automaton.classes[ord("/")]
    below = [table[state * width + slash] for state in range(automaton.states)]
    return bytes(
        mask | (LEADS if below[state] in hopeful else 0) | (0 if below[state] in spoilt else WHOLE)
        for state, mask in enumerate(accepts)
    )


def _reaching(before: Sequence[Sequence[int]], wanted: Iterable[int]) -> set[int]:
    """Every state from which one of ``wanted`` is reached, those themselves included."""
    waiting = list(wanted)
    found = set(waiting)
    while waiting:
        for state in before[waiting.pop()]:
            if state not in found:
                found.add(state)
                waiting.append(state)
    return found
