"""The list bundle: what may be permitted while the arguments of a call, and what its caller will have used by then,
are not known yet (POLICY 2.4).

Every sub-expression that reads ``context.args`` or ``context.usage`` takes the value that lets the call through: true
in a permit, false in a forbid, the other way round under ``!``. Forbids that people can lift are dropped. So whatever
may be called is listed; that a listed tool can be called with these arguments, and this often, is not promised.
"""

from collections.abc import Callable
from dataclasses import replace

from cedarpy import pst

from gateway.core.policy.footprint import reads_arguments, unknown_when_listed
from gateway.core.policy.syntax import conditions, walk

_MAY_OVERFLOW = frozenset({"add", "sub", "mul", "neg", "offset", "duration_since", "to_date"})


Unknown = Callable[[pst.Expr], bool]
"""Whether an expression could read what isn't known."""


def list_tree(tree: pst.Template) -> pst.Template | None:
    """The policy as the list bundle has it; None for a forbid that approval can lift."""
    if tree.effect == "forbid" and "approval" in tree.annotations:
        return None
    return assumed(tree, tree.effect == "permit", unknown_when_listed)


def assumed(tree: pst.Template, favoured: bool, unknown: Unknown = reads_arguments) -> pst.Template:
    """The policy where whatever is ``unknown`` is taken to make it apply, or not to, as far as it can."""
    tests = conditions(tree)
    if not any(map(unknown, tests)):
        return tree
    whole = tests[0]
    for test in tests[1:]:
        whole = pst.BinaryOp("and", whole, test)
    return replace(tree, clauses=(pst.When(_assume(whole, favoured, unknown)),))


def may_overflow(tree: pst.Template) -> bool:
    """Whether the policy calculates, and so may err for some values."""
    parts = (part for test in conditions(tree) for part in walk(test))
    return any(isinstance(part, pst.UnaryOp | pst.BinaryOp) and part.op in _MAY_OVERFLOW for part in parts)


def _assume(expr: pst.Expr, favoured: bool, unknown: Unknown) -> pst.Expr:
    """The expression with every ``unknown`` part replaced by ``favoured``."""
    if not unknown(expr):
        return expr
    match expr:
        case pst.UnaryOp(op="not", arg=arg):
            return pst.UnaryOp("not", _assume(arg, not favoured, unknown))
        case pst.BinaryOp(op="and" | "or" as op, left=left, right=right):
            if unknown(left) and _shielded(left, right):
                return pst.BoolLit(favoured)
            return pst.BinaryOp(op, _assume(left, favoured, unknown), _assume(right, favoured, unknown))
        case pst.IfThenElse(cond=cond, then_expr=then_expr, else_expr=else_expr) if not unknown(cond):
            return pst.IfThenElse(cond, _assume(then_expr, favoured, unknown), _assume(else_expr, favoured, unknown))
    return pst.BoolLit(favoured)


def _shielded(left: pst.Expr, right: pst.Expr) -> bool:
    """Whether ``right`` could err once ``left`` is assumed, where the real call would not have come so far.

    Arithmetic may overflow; and an ``if`` may hold the presence test that ``right`` relies on.
    """
    overflows = any(isinstance(part, pst.UnaryOp | pst.BinaryOp) and part.op in _MAY_OVERFLOW for part in walk(right))
    return overflows or any(isinstance(part, pst.IfThenElse) for part in walk(left))
