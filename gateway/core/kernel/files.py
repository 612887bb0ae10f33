"""File rules of one class: the automaton, the anchors of what is forbidden, and whether it may make processes."""

from collections.abc import Hashable, Iterator, Mapping, Sequence

from msgspec import Struct

from gateway.core.kernel.actions import MASK_OF
from gateway.core.kernel.automaton import Matching, matching
from gateway.core.kernel.formula import Path, literals
from gateway.core.kernel.minimal import minimal, tables
from gateway.core.kernel.pattern import Pattern
from gateway.core.kernel.rules import MAX_ANCHORS, MAX_PATH, MAX_STATES, Automaton
from gateway.core.kernel.spoken import Asked, Spoken, Verdict, fitting, patterns

FILE_ACTIONS = (*MASK_OF, "spawnProcess")
_MOST_RAW_STATES = 4 * MAX_STATES
"""Before states that accept the same are joined."""
_Table = Mapping[str, tuple[Verdict, ...]]
"""Action → what is decided in each state."""


class ForbiddenPath(Struct, frozen=True, order=True):
    """A path, or all below a directory, and what is forbidden with it by which policy."""

    path: str
    prefix: bool
    policy: str
    mask: int


class Dangerous(Struct, frozen=True, order=True):
    """A path, as short as any, that may be written and then executed or loaded, and the policy that permits this."""

    verb: str
    path: str
    policy: str


class FileRules(Struct, frozen=True):
    """What is sent, and what is told of it."""

    automaton: Automaton
    anchors: tuple[ForbiddenPath, ...]
    spawn: Verdict
    everywhere: bool
    """Whether ``spawnProcess`` is decided alike for every path."""
    dangerous: tuple[Dangerous, ...]


def file_rules(said: Sequence[Spoken]) -> tuple[FileRules, frozenset[str]]:
    """The rules, and the ids of policies that had to be left out since the automaton or the anchors grew too large."""
    return fitting(said, _built)


def _built(said: Sequence[Spoken]) -> FileRules | None:
    known = patterns(said)
    found = matching(known, _MOST_RAW_STATES)
    if found is None:
        return None
    table = _table(said, known, found)
    accepts = [
        sum(mask for action, mask in MASK_OF.items() if table[action][state].allowed)
        for state in range(len(found.matched))
    ]
    small = minimal(found, accepts)
    if len(small.accepts) > MAX_STATES:
        return None
    automaton = tables(small)
    anchors = tuple(_anchors(said, table, found))
    if automaton is None or len(anchors) > MAX_ANCHORS:
        return None
    absolute = sorted(found.reached(found.after(b"/")))
    spawning = [table["spawnProcess"][state] for state in absolute]
    denied = next((each for each in spawning if not each.allowed), None)
    alike = len({each.allowed for each in spawning}) == 1
    return FileRules(automaton, anchors, denied or spawning[0], alike, tuple(_dangerous(table, found)))


def _table(said: Sequence[Spoken], known: Sequence[Pattern], found: Matching) -> _Table:
    numbers: dict[Hashable, int] = {Path(pattern): number for number, pattern in enumerate(known)}
    table: dict[str, tuple[Verdict, ...]] = {}
    for action in FILE_ACTIONS:
        asked = Asked.of((each for each in said if each.action == action), numbers.__getitem__)
        answers = {matched: asked.decide(matched) for matched in set(found.matched)}
        table[action] = tuple(answers[matched] for matched in found.matched)
    return table


def _anchors(said: Sequence[Spoken], table: _Table, found: Matching) -> Iterator[ForbiddenPath]:
    """Anchors of the paths and directories that forbids name, as far as they are forbidden whatever else is asked."""
    masks: dict[tuple[str, bool, str], int] = {}
    for path in sorted(_named(said)):
        itself = found.after(path)
        below = sorted(found.reached(found.after(b"" if path == b"/" else b"/", itself)))
        for action, mask in MASK_OF.items():
            for prefix, states in ((False, [itself]), (True, below)):
                policies = [table[action][state].forbid for state in states]
                if policies[0] is not None and None not in policies:
                    key = (path.decode(), prefix, policies[0])
                    masks[key] = masks.get(key, 0) | mask
    for (text, prefix, policy), mask in sorted(masks.items()):
        yield ForbiddenPath(text, prefix, policy, mask)


def _named(said: Sequence[Spoken]) -> Iterator[bytes]:
    """The literal paths of forbids, and the directories that their patterns end in."""
    for each in said:
        for literal in literals(each.formula) if each.effect == "forbid" else ():
            if not isinstance(literal.atom, Path) or not literal.positive:
                continue
            pattern = literal.atom.pattern
            path = pattern.literal if pattern.literal is not None else pattern.beginning
            if path is not None and path.startswith(b"/") and len(path) <= MAX_PATH and b"\0" not in path:
                yield path.rstrip(b"/") or b"/"


def _dangerous(table: _Table, found: Matching) -> Iterator[Dangerous]:
    for verb, action in (("execute", "execFile"), ("load", "loadLibrary")):
        both = {
            state: used.permit
            for state, used in enumerate(table[action])
            if used.permit is not None and used.allowed and table["writeFile"][state].allowed
        }
        for state, path in _shortest(found) if both else ():
            if state in both:
                yield Dangerous(verb, path.decode(errors="replace"), both[state])
                break


def _shortest(found: Matching) -> Iterator[tuple[int, bytes]]:
    """Each state that an absolute path leads to, and a shortest one that does; shorter ones first."""
    first = found.after(b"/")
    paths = {first: b"/"}
    for state in (waiting := [first]):
        yield state, paths[state]
        named = found.named[state]
        for byte, on in (*named.items(), (_unnamed(named), found.otherwise[state])):
            if on not in paths:
                paths[on] = paths[state] + bytes((byte,))
                waiting.append(on)


def _unnamed(named: Mapping[int, int]) -> int:
    """A letter that the state doesn't name, or else any other byte."""
    return next((byte for byte in (*range(97, 123), *range(1, 256)) if byte not in named), 1)
