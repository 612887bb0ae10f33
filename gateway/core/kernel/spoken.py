"""What all policies say of one action for one class, and leaving policies out where all together are too much.

Leaving out is safe either way: a permit is dropped, a forbid forbids everything.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct

from gateway.core.kernel.formula import FALSE, TRUE, Atom, Formula, Path, Ready, literals, tested
from gateway.core.kernel.pattern import Pattern
from gateway.core.model import Effect

T = TypeVar("T")


class Spoken(Struct, frozen=True):
    """One policy's formula for one action."""

    policy: str
    effect: Effect
    action: str
    formula: Formula

    def left_out(self) -> "Spoken":
        """The policy where its formula can't be sent."""
        return Spoken(self.policy, self.effect, self.action, FALSE if self.effect == "permit" else TRUE)


class Verdict(Struct, frozen=True):
    """Whether something is permitted, and the first policies by id that permit and forbid it."""

    permit: str | None
    forbid: str | None

    @property
    def allowed(self) -> bool:
        """Permitted, and not forbidden."""
        return self.permit is not None and self.forbid is None


class Asked(Struct, frozen=True):
    """Policies in their order, ready to be asked what they decide."""

    tests: tuple[tuple[Spoken, Ready], ...]

    @classmethod
    def of(cls, said: Iterable[Spoken], key: Callable[[Atom], Hashable]) -> "Asked":
        """Those of ``said``, their atoms by ``key``."""
        return cls(tuple((each, tested(each.formula, key)) for each in said))

    def decide(self, true: frozenset[Hashable], maybe: frozenset[Hashable] | None = None) -> Verdict:
        """What the policies decide where the atoms ``true`` are so; forbid wins.

        Of all others at most those of ``maybe`` are, and permits don't rely on that they aren't.
        """
        permit = forbid = None
        for each, test in self.tests:
            if each.effect == "forbid":
                forbid = forbid or (each.policy if test.holds(true, true) else None)
            elif permit is None and test.holds(true, true if maybe is None else maybe):
                permit = each.policy
        return Verdict(permit, forbid)


def fitting(said: Sequence[Spoken], build: Callable[[Sequence[Spoken]], T | None]) -> tuple[T, frozenset[str]]:
    """What ``build`` makes of as many policies as it can, simplest first, and the ids of those that are left out.

    ``build`` gives None where it can't; without any formula it can.
    """
    whole = build(said)
    if whole is not None:
        return whole, frozenset()
    order = sorted({each.policy for each in said}, key=lambda policy: _weight(policy, said))
    low, high = 0, len(order)
    best: tuple[T, frozenset[str]] | None = None
    while low < high:
        kept = (low + high) // 2
        out = frozenset(order[kept:])
        made = build([each.left_out() if each.policy in out else each for each in said])
        if made is None:
            high = kept
        else:
            best, low = (made, out), kept + 1
    if best is None:
        raise AssertionError("rules without any formula are too large")
    return best


def patterns(said: Sequence[Spoken]) -> tuple[Pattern, ...]:
    """Every path pattern of the formulas, sorted."""
    atoms = {literal.atom for each in said for literal in literals(each.formula)}
    return tuple(sorted(atom.pattern for atom in atoms if isinstance(atom, Path)))


def _weight(policy: str, said: Sequence[Spoken]) -> tuple[int, int, str]:
    """Patterns with several stars multiply states; after these, what is longest."""
    found = [literal for each in said if each.policy == policy for literal in literals(each.formula)]
    paths = [literal.atom.pattern for literal in found if isinstance(literal.atom, Path)]
    return max((pattern.stars for pattern in paths), default=0), len(found), policy
