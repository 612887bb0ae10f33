"""Why nothing permitted a hop: the permits that came nearest, and which of their clauses failed.

Computed on demand, never on the path of a decision, and it decides nothing. Clauses are tried one by one
by Cedar itself; only their wording is made here.
"""

import json
from collections.abc import Iterator

from cedarpy import PolicySet, pst
from msgspec import Struct

from gateway.core.model import Hop, Uid
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.case import Case, all_entities, case_of, derivations
from gateway.core.policy.evaluate import satisfied
from gateway.core.policy.facts import Undecided
from gateway.core.policy.provenance import Witness
from gateway.core.policy.render import render
from gateway.core.policy.rule import Rule, policy_set
from gateway.core.policy.syntax import alone, clauses, uid_of
from gateway.core.registry import Registry

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
_SHOWN = 3


class _Miss(Struct, frozen=True, order=True):
    failed: int
    line: str


def near_misses(hop: Hop, bundle: Bundle, registry: Registry, limit: int = 5) -> tuple[str, ...]:
    """One line for each of the ``limit`` nearest permits, fewest failed clauses first.

    ``permit `finance-read` failed: principal.risk_level is "medium", needs "low"``. Empty where the hop
    could not be decided at all, or no permit speaks of its action.
    """
    case = case_of(hop, bundle, registry)
    if isinstance(case, Undecided):
        return ()
    nearest: dict[str, _Miss] = {}
    for asked in (case, *derivations(case, bundle)):
        for name, miss in _misses(asked, bundle):
            nearest[name] = min(miss, nearest.get(name, miss))
    return tuple(miss.line for miss in sorted(nearest.values())[:limit])


def _misses(case: Case, bundle: Bundle) -> Iterator[tuple[str, _Miss]]:
    rules = [rule for rule in bundle.rules.values() if rule.effect == "permit" and _speaks_of(rule, case)]
    parts = {rule.id: clauses(rule.tree) for rule in rules}
    names = {f"{name} {index}": part for name, found in parts.items() for index, part in enumerate(found)}
    trees = {name: alone(name, part) for name, part in names.items()}
    schema, entities = bundle.schemas.of(case.facts.context.get("args")).handle, all_entities(case)
    if entities is None:
        return
    held = satisfied(PolicySet.from_pst(policy_set(trees)), schema, case.facts, entities)
    witness = Witness(case.facts, bundle.registry, bundle.digest_key)
    for rule in rules:
        failed = [part for index, part in enumerate(parts[rule.id]) if f"{rule.id} {index}" not in held]
        if failed:
            reasons = [_reason(part, case, witness) for part in failed[:_SHOWN]]
            more = [f"and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
            yield rule.id, _Miss(len(failed), f"permit `{rule.id}` failed: {'; '.join([*reasons, *more])}")


def _speaks_of(rule: Rule, case: Case) -> bool:
    ancestors = case.facts.world.ancestors(Uid("Action", case.facts.action))
    match rule.tree.action:
        case pst.ActionEq(entity=entity):
            return uid_of(entity) in ancestors
        case pst.ActionIn(entities=entities):
            return any(uid_of(entity) in ancestors for entity in entities)
    return True


def _reason(part: pst.Expr, case: Case, witness: Witness) -> str:
    match part:
        case pst.BinaryOp(op="in", left=left, right=right):
            return f"{render(left)} is not in {render(right)}"
        case pst.Is(base=base, entity_type=entity_type, in_expr=in_expr):
            value = case.facts.value(base)
            kind = value.type if isinstance(value, Uid) else "absent"
            if in_expr is not None and kind == str(entity_type):
                return f"{render(base)} is not in {render(in_expr)}"
            return f"{render(base)} is of type {kind}, needs {entity_type}"
        case pst.HasAttr(base=base, attrs=attrs):
            return f"{render(base)} has no {'.'.join(attrs)}"
        case pst.BinaryOp(op=op, left=left, right=right) if op in _NEEDS:
            return _comparison(op, left, right, case, witness)
        case pst.UnaryOp(op="not", arg=arg):
            return _denied(arg, case, witness)
        case pst.GetAttr():
            return f"{render(part)} is {_shown(part, case, witness) or 'absent'}, needs true"
    return f"condition not satisfied: {render(part)}"


def _denied(held: pst.Expr, case: Case, witness: Witness) -> str:
    """Why ``!held`` failed: ``held`` holds, or could not be told."""
    match held:
        case pst.GetAttr() if witness.read(held) is True:
            return f"{render(held)} is true, needs false"
        case pst.BinaryOp(op="in", left=left, right=right) if witness.read(held) is True:
            return f"{render(left)} is in {render(right)}, needs to be outside"
        case pst.HasAttr(base=base, attrs=attrs) if witness.read(held) is True:
            return f"{render(base)} has {'.'.join(attrs)}, needs to be without"
        case pst.BinaryOp(op=op, left=left, right=right) if op in _NEGATED:
            return _comparison(_NEGATED[op], left, right, case, witness)
    return f"condition not satisfied: {render(pst.UnaryOp('not', held))}"


def _comparison(op: pst.BinaryOpName, left: pst.Expr, right: pst.Expr, case: Case, witness: Witness) -> str:
    """``<left> is <value>, needs <op> <right>``; a literal on the left is turned round."""
    if isinstance(left, pst.StringLit | pst.LongLit | pst.BoolLit | pst.EntityLit) and op in _MIRRORED:
        op, left, right = _MIRRORED[op], right, left
    value, needed = _shown(left, case, witness), _shown(right, case, witness)
    if value is None:
        return f"condition not satisfied: {render(pst.BinaryOp(op, left, right))}"
    target = render(right)
    known = "" if needed is None or needed == target else f", which is {needed}"
    return f"{render(left)} is {value}, needs {_NEEDS[op]}{target}{known}"


def _shown(expr: pst.Expr, case: Case, witness: Witness) -> str | None:
    """The value as text: entities and times bare, the rest as JSON."""
    raw, value = case.facts.value(expr), witness.read(expr)
    if value is None:
        return None
    plain_text = isinstance(value, str) and not isinstance(raw, str)
    return str(value) if plain_text else json.dumps(value, ensure_ascii=False)
