"""The ways in which a condition that failed could hold: what each of its alternatives lacks.

It knows nothing of values and words, and decides nothing: whether a part holds is told to it. Only the
nearest ways are kept, so that a condition of many alternatives costs no more than its length.
"""

from collections.abc import Iterator, Set

from cedarpy import pst
from msgspec import Struct

KEPT = 3
"""How many ways are kept of a condition."""
COUNTED = 100
"""Ways beyond so many are not counted."""


class Way(Struct, frozen=True):
    """What has to change for the condition to hold, if all else stays."""

    needs: tuple[pst.Expr, ...] = ()
    within: tuple[pst.Expr, ...] = ()
    """The conditions of ``if`` that chose the branches which the needs are from: they hold as they are."""


class Ways(Struct, frozen=True):
    """The ``KEPT`` ways with the fewest needs, and how many there are, at most ``COUNTED``."""

    nearest: tuple[Way, ...]
    count: int


_HOLDS = Ways((Way(),), 1)
_NEVER = Ways((), 0)


def positive(expr: pst.Expr) -> pst.Expr:
    """The same condition with ``!`` only before what is neither ``!``, ``&&``, ``||``, ``if`` nor a literal.

    By De Morgan's rules, which keep the order in which Cedar asks, and so what it never gets to.
    """
    match expr:
        case pst.UnaryOp(op="not", arg=arg):
            return negative(arg)
        case pst.BinaryOp(op="and" | "or" as op, left=left, right=right):
            return pst.BinaryOp(op, positive(left), positive(right))
        case pst.IfThenElse(cond=cond, then_expr=then_expr, else_expr=else_expr):
            return pst.IfThenElse(positive(cond), positive(then_expr), positive(else_expr))
    return expr


def negative(expr: pst.Expr) -> pst.Expr:
    """What ``positive`` makes of ``!expr``."""
    match expr:
        case pst.UnaryOp(op="not", arg=arg):
            return positive(arg)
        case pst.BinaryOp(op="and", left=left, right=right):
            return pst.BinaryOp("or", negative(left), negative(right))
        case pst.BinaryOp(op="or", left=left, right=right):
            return pst.BinaryOp("and", negative(left), negative(right))
        case pst.IfThenElse(cond=cond, then_expr=then_expr, else_expr=else_expr):
            return pst.IfThenElse(positive(cond), negative(then_expr), negative(else_expr))
        case pst.BoolLit(value=value):
            return pst.BoolLit(not value)
    return pst.UnaryOp("not", expr)


def leaves(expr: pst.Expr) -> Iterator[pst.Expr]:
    """What ``ways`` has to be told of a condition in positive form: whether each of these holds."""
    match expr:
        case pst.BinaryOp(op="and" | "or", left=left, right=right):
            yield from leaves(left)
            yield from leaves(right)
        case pst.IfThenElse(cond=cond, then_expr=then_expr, else_expr=else_expr):
            yield from (cond, negative(cond))
            yield from leaves(then_expr)
            yield from leaves(else_expr)
        case _:
            yield expr


def ways(expr: pst.Expr, held: Set[pst.Expr]) -> Ways:
    """How the condition, in positive form, could hold where of the parts ``leaves`` just ``held`` do.

    None where it can't, since it is ``false`` itself or its ``if`` couldn't be told.
    """
    match expr:
        case pst.BinaryOp(op="and", left=left, right=right):
            return _both(ways(left, held), ways(right, held))
        case pst.BinaryOp(op="or", left=left, right=right):
            return _either(ways(left, held), ways(right, held))
        case pst.IfThenElse(cond=cond, then_expr=then_expr, else_expr=else_expr):
            if cond in held:
                return _within(cond, ways(then_expr, held))
            otherwise = negative(cond)
            return _within(otherwise, ways(else_expr, held)) if otherwise in held else _NEVER
    if expr in held:
        return _HOLDS
    return _NEVER if isinstance(expr, pst.BoolLit) else Ways((Way((expr,)),), 1)


def _both(left: Ways, right: Ways) -> Ways:
    # The nearest of all pairs are pairs of the nearest: needs add up.
    pairs = (
        Way(tuple(dict.fromkeys(one.needs + other.needs)), tuple(dict.fromkeys(one.within + other.within)))
        for one in left.nearest
        for other in right.nearest
    )
    return Ways(_nearest(pairs), min(left.count * right.count, COUNTED))


def _either(left: Ways, right: Ways) -> Ways:
    if _HOLDS in (left, right):
        return _HOLDS
    return Ways(_nearest((*left.nearest, *right.nearest)), min(left.count + right.count, COUNTED))


def _within(cond: pst.Expr, branch: Ways) -> Ways:
    if branch == _HOLDS:
        return branch
    nearest = tuple(Way(way.needs, tuple(dict.fromkeys((cond, *way.within)))) for way in branch.nearest)
    return Ways(nearest, branch.count)


def _nearest(found: Iterator[Way] | tuple[Way, ...]) -> tuple[Way, ...]:
    return tuple(sorted(found, key=lambda way: len(way.needs))[:KEPT])
