"""What a condition that failed needs, in words: alone, or as one of several.

Only wording, and decides nothing. Values are those that a record would show: sensitive arguments are digests.
"""

import json

from cedarpy import pst
from msgspec import Struct

from gateway.core.model import Uid
from gateway.core.policy.facts import Facts
from gateway.core.policy.provenance import Witness
from gateway.core.policy.render import render
from gateway.core.policy.ways import COUNTED, Way, Ways

_NEEDS: dict[pst.BinaryOpName, str] = {
    "eq": "",
    "not_eq": "anything but ",
    "less": "less than ",
    "less_eq": "at most ",
    "greater": "more than ",
    "greater_eq": "at least ",
    "contains": "to contain ",
    "contains_all": "to contain all of ",
    "contains_any": "to contain any of ",
}
_MIRRORED: dict[pst.BinaryOpName, pst.BinaryOpName] = {
    "eq": "eq",
    "not_eq": "not_eq",
    "less": "greater",
    "less_eq": "greater_eq",
    "greater": "less",
    "greater_eq": "less_eq",
}
_NEGATED: dict[pst.BinaryOpName, pst.BinaryOpName] = {
    "eq": "not_eq",
    "not_eq": "eq",
    "less": "greater_eq",
    "less_eq": "greater",
    "greater": "less_eq",
    "greater_eq": "less",
}
SHOWN = 3
"""How many needs are told of one permit, and of one way."""


class _Need(Struct, frozen=True):
    """``alone``: ``principal.risk_level is "medium", needs "low"``; ``among``: what follows ``needs`` in a choice."""

    alone: str
    among: str


def told(part: pst.Expr, found: Ways, facts: Facts, witness: Witness) -> str:
    """Why ``part`` failed, by the ways in which it could hold.

    One way: ``principal.risk_level is "medium", needs "low"``. Several: ``needs principal.risk_level "low"
    (is "medium"), or context.reentry true (is false)``, the nearest first, ``and 2 more`` for those not told.
    """
    if not found.nearest or not all(way.needs for way in found.nearest):
        return f"condition not satisfied: {render(part)}"
    if found.count == 1:
        (way,) = found.nearest
        return _joined([_need(need, facts, witness).alone for need in way.needs], ", and ", way)
    choices = [
        _joined([_need(need, facts, witness).among for need in way.needs], " and ", way) for way in found.nearest
    ]
    return f"needs {', or '.join(choices)}{_rest(found)}"


def _joined(needs: list[str], link: str, way: Way) -> str:
    left = len(needs) - SHOWN
    shown = link.join([*needs[:SHOWN], *([f"{left} more needs" if left > 1 else "1 more need"] if left > 0 else [])])
    return f"{shown} while {' and '.join(map(render, way.within))}" if way.within else shown


def _rest(found: Ways) -> str:
    left = found.count - len(found.nearest)
    if left <= 0:
        return ""
    return f", and {'at least ' if found.count == COUNTED else ''}{left} more"


def _need(part: pst.Expr, facts: Facts, witness: Witness) -> _Need:
    match part:
        case pst.BinaryOp(op="in", left=left, right=right):
            return _inside(left, right)
        case pst.Is(base=base, entity_type=entity_type, in_expr=in_expr):
            value = facts.value(base)
            kind = value.type if isinstance(value, Uid) else "absent"
            if in_expr is not None and kind == str(entity_type):
                return _inside(base, in_expr)
            subject = render(base)
            return _Need(
                f"{subject} is of type {kind}, needs {entity_type}", f"{subject} of type {entity_type} (is {kind})"
            )
        case pst.HasAttr(base=base, attrs=attrs):
            subject, name = render(base), ".".join(attrs)
            return _Need(f"{subject} has no {name}", f"{subject} to have {name}")
        case pst.BinaryOp(op=op, left=left, right=right) if op in _NEEDS:
            return _comparison(op, left, right, facts, witness)
        case pst.UnaryOp(op="not", arg=arg):
            return _denied(arg, facts, witness)
        case pst.GetAttr():
            return _valued(render(part), _shown(part, facts, witness) or "absent", "true")
    return _untold(part)


def _denied(held: pst.Expr, facts: Facts, witness: Witness) -> _Need:
    """Why ``!held`` failed: ``held`` holds, or could not be told."""
    match held:
        case pst.GetAttr() if witness.read(held) is True:
            return _valued(render(held), "true", "false")
        case pst.BinaryOp(op="in", left=left, right=right) if witness.read(held) is True:
            subject, outer = render(left), render(right)
            return _Need(f"{subject} is in {outer}, needs to be outside", f"{subject} to be outside {outer}")
        case pst.HasAttr(base=base, attrs=attrs) if witness.read(held) is True:
            subject, name = render(base), ".".join(attrs)
            return _Need(f"{subject} has {name}, needs to be without", f"{subject} to be without {name}")
        case pst.BinaryOp(op=op, left=left, right=right) if op in _NEGATED:
            return _comparison(_NEGATED[op], left, right, facts, witness)
        case pst.BinaryOp(op=op, left=left, right=right) if op in _NEEDS:
            value = _shown(left, facts, witness)
            if value is not None:
                return _valued(render(left), value, f"not {_NEEDS[op]}{render(right)}")
    return _untold(pst.UnaryOp("not", held))


def _inside(left: pst.Expr, right: pst.Expr) -> _Need:
    return _Need(f"{render(left)} is not in {render(right)}", f"{render(left)} to be in {render(right)}")


def _valued(subject: str, value: str, needed: str) -> _Need:
    return _Need(f"{subject} is {value}, needs {needed}", f"{subject} {needed} (is {value})")


def _untold(part: pst.Expr) -> _Need:
    return _Need(f"condition not satisfied: {render(part)}", f"that {render(part)}")


def _comparison(op: pst.BinaryOpName, left: pst.Expr, right: pst.Expr, facts: Facts, witness: Witness) -> _Need:
    """``<left> is <value>, needs <op> <right>``; a literal on the left is turned round."""
    if isinstance(left, pst.StringLit | pst.LongLit | pst.BoolLit | pst.EntityLit) and op in _MIRRORED:
        op, left, right = _MIRRORED[op], right, left
    value, needed = _shown(left, facts, witness), _shown(right, facts, witness)
    if value is None:
        return _untold(pst.BinaryOp(op, left, right))
    target = render(right)
    if needed is None or needed == target:
        return _valued(render(left), value, f"{_NEEDS[op]}{target}")
    return _Need(
        f"{render(left)} is {value}, needs {_NEEDS[op]}{target}, which is {needed}",
        f"{render(left)} {_NEEDS[op]}{target} (is {value}, against {needed})",
    )


def _shown(expr: pst.Expr, facts: Facts, witness: Witness) -> str | None:
    """The value as text: entities and times bare, the rest as JSON."""
    raw, value = facts.value(expr), witness.read(expr)
    if value is None:
        return None
    plain_text = isinstance(value, str) and not isinstance(raw, str)
    return str(value) if plain_text else json.dumps(value, ensure_ascii=False)
