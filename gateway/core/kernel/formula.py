"""What a policy says of one class and one action, as a formula over the file, destination or system call.

Negation stands at atoms only, so what can't be said can be replaced where it stands: by false in a permit, by true in a
forbid. Whatever is around it, a permit then permits less, and a forbid forbids more.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Literal

from msgspec import Struct

from gateway.core.kernel.pattern import Pattern


class Path(Struct, frozen=True):
    """The path of the file is one that ``pattern`` matches."""

    pattern: Pattern


class Host(Struct, frozen=True):
    """The destination's host is this one, in lower case."""

    host: str


class Port(Struct, frozen=True):
    """The destination's port is this one."""

    port: int


class Protocol(Struct, frozen=True):
    """The destination's protocol is this one."""

    protocol: str


class Within(Struct, frozen=True):
    """The destination is in the registry's set of this name."""

    name: str


class Called(Struct, frozen=True):
    """The system call has this name."""

    name: str


Atom = Path | Host | Port | Protocol | Within | Called


class Literally(Struct, frozen=True):
    """An atom, or its opposite."""

    atom: Atom
    positive: bool = True


class Const(Struct, frozen=True):
    """Always so, or never."""

    value: bool


class Joined(Struct, frozen=True):
    """All of the parts, or any of them."""

    by: Literal["and", "or"]
    parts: "tuple[Formula, ...]"


Formula = Literally | Const | Joined
TRUE, FALSE = Const(True), Const(False)


def joined(by: Literal["and", "or"], parts: tuple[Formula, ...]) -> Formula:
    """The parts together, with what is always or never so worked out."""
    absorbing = Const(by == "or")
    kept: dict[Formula, None] = {}
    for part in parts:
        if part == absorbing:
            return absorbing
        if isinstance(part, Joined) and part.by == by:
            kept |= dict.fromkeys(part.parts)
        elif not isinstance(part, Const):
            kept[part] = None
    found = tuple(kept)
    if not found:
        return Const(by == "and")
    return found[0] if len(found) == 1 else Joined(by, found)


def literals(formula: Formula) -> Iterator[Literally]:
    """The formula's atoms with their signs, left to right."""
    match formula:
        case Literally():
            yield formula
        case Joined(parts=parts):
            for part in parts:
                yield from literals(part)


class Ready(Struct, frozen=True):
    """A formula made to be asked many times, its atoms by key: a long `||` costs what is true, not what is said."""

    by: Literal["and", "or"]
    positive: frozenset[Hashable]
    negative: frozenset[Hashable]
    parts: "tuple[Ready, ...]"

    def holds(self, true: frozenset[Hashable], maybe: frozenset[Hashable]) -> bool:
        """Whether it holds where the atoms ``true`` are so, and of all others at most those of ``maybe``."""
        if self.by == "and":
            return (
                self.positive <= true
                and self.negative.isdisjoint(maybe)
                and all(part.holds(true, maybe) for part in self.parts)
            )
        return (
            not self.positive.isdisjoint(true)
            or not self.negative <= maybe
            or any(part.holds(true, maybe) for part in self.parts)
        )


def tested(formula: Formula, key: Callable[[Atom], Hashable]) -> Ready:
    """The formula, ready to be asked."""
    none: frozenset[Hashable] = frozenset()
    match formula:
        case Const(value=value):
            return Ready("and" if value else "or", none, none, ())
        case Literally():
            parts: tuple[Formula, ...] = (formula,)
            by: Literal["and", "or"] = "and"
        case Joined():
            by, parts = formula.by, formula.parts
    found = [part for part in parts if isinstance(part, Literally)]
    return Ready(
        by,
        frozenset(key(each.atom) for each in found if each.positive),
        frozenset(key(each.atom) for each in found if not each.positive),
        tuple(tested(part, key) for part in parts if not isinstance(part, Literally)),
    )
