"""What must hold for a policy to hold, in a form in which one policy can be compared with another.

A policy's conditions as atoms that are all true whenever it holds. Comparisons of one value with integers become
a range. Knows nothing of what the atoms mean, so that it may miss an implication, and never makes one up.
"""

from collections.abc import Iterator, Mapping

from cedarpy import pst
from msgspec import Struct

from gateway.core.policy.render import render
from gateway.core.policy.syntax import conditions, conjuncts, path_of

_MIN, _MAX = -(2**63), 2**63 - 1
_TURNED: dict[pst.BinaryOpName, pst.BinaryOpName] = {
    "less": "greater",
    "less_eq": "greater_eq",
    "greater": "less",
    "greater_eq": "less_eq",
    "eq": "eq",
}
_NEGATED: dict[pst.BinaryOpName, pst.BinaryOpName] = {
    "less": "greater_eq",
    "less_eq": "greater",
    "greater": "less_eq",
    "greater_eq": "less",
    "eq": "not_eq",
    "not_eq": "eq",
}


class Range(Struct, frozen=True):
    """The integers from ``low`` to ``high``, both included."""

    low: int = _MIN
    high: int = _MAX

    def within(self, other: "Range") -> bool:
        """Whether all of it lies in ``other``."""
        return other.low <= self.low and self.high <= other.high

    def also(self, other: "Range") -> "Range":
        """What lies in both."""
        return Range(max(self.low, other.low), min(self.high, other.high))


class Claims(Struct, frozen=True):
    """All of these hold whenever the policy does."""

    atoms: Mapping[str, Range | None]
    """By text; ranges by the text of what is compared."""
    contradiction: str | None
    """Why they can't all hold."""

    def imply(self, other: "Claims") -> bool:
        """Whether all that ``other`` claims follows from these."""
        for text, wanted in other.atoms.items():
            if text not in self.atoms:
                return False
            known = self.atoms[text]
            if wanted is not None and (known is None or not known.within(wanted)):
                return False
        return True


def claims(policy: pst.Template) -> Claims:
    """The claims of a policy's conditions, without its scope."""
    atoms: dict[str, Range | None] = {}
    values: dict[str, str] = {}
    why: str | None = None
    for atom in (part for condition in conditions(policy) for part in _atoms(condition)):
        ranged = _range(atom)
        if ranged is not None:
            path, span = ranged
            before = atoms.get(path)
            atoms[path] = met = span if before is None else before.also(span)
            if met.low > met.high:
                why = why or f"no number is all that it asks of {path}"
            continue
        why = why or _clash(atom, atoms, values)
        atoms[render(atom)] = None
    return Claims(atoms, why)


def _atoms(expr: pst.Expr) -> Iterator[pst.Expr]:
    for part in conjuncts(expr):
        match part:
            case pst.UnaryOp(op="not", arg=arg):
                yield from _denied(arg)
            case _:
                yield part


def _denied(expr: pst.Expr) -> Iterator[pst.Expr]:
    """The atoms of ``!expr``."""
    match expr:
        case pst.UnaryOp(op="not", arg=arg):
            yield from _atoms(arg)
        case pst.BinaryOp(op="or", left=left, right=right):
            yield from _denied(left)
            yield from _denied(right)
        case pst.BinaryOp(op=op, left=left, right=right) if op in _NEGATED:
            yield pst.BinaryOp(_NEGATED[op], left, right)
        case _:
            yield pst.UnaryOp("not", expr)


def _range(atom: pst.Expr) -> tuple[str, Range] | None:
    """A comparison of a path with an integer as the path's text and what it may be."""
    match atom:
        case pst.BinaryOp(op=op, left=pst.LongLit(value=number), right=other) if op in _TURNED:
            op = _TURNED[op]
        case pst.BinaryOp(op=op, left=other, right=pst.LongLit(value=number)):
            pass
        case _:
            return None
    spans: dict[pst.BinaryOpName, Range] = {
        "less": Range(high=number - 1),
        "less_eq": Range(high=number),
        "greater": Range(low=number + 1),
        "greater_eq": Range(low=number),
        "eq": Range(number, number),
    }
    return (render(other), spans[op]) if op in spans and path_of(other) is not None else None


def _clash(atom: pst.Expr, atoms: Mapping[str, Range | None], values: dict[str, str]) -> str | None:
    """Why the atom can't hold beside those before it; notes in ``values`` what a path has to equal."""
    match atom:
        case pst.BoolLit(value=False):
            return "it asks for false"
        case pst.UnaryOp(op="not", arg=arg):
            opposite = render(arg)
        case pst.BinaryOp(op="eq" | "not_eq" as op, left=left, right=right):
            opposite = render(pst.BinaryOp(_NEGATED[op], left, right))
            if op == "eq" and isinstance(right, pst.StringLit) and path_of(left) is not None:
                path, value = render(left), render(right)
                other = values.setdefault(path, value)
                if other != value:
                    return f"{path} can't be {other} and {value} at once"
        case _:
            opposite = render(pst.UnaryOp("not", atom))
    return f"it asks for {render(atom)} and for {opposite}" if opposite in atoms else None
