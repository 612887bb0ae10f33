"""Policies that can never decide anything: permits that can't match, and policies that another one covers.

Sound, not complete: what is reported is so for every call under this registry, and much that is so is not
reported. Found: conditions that are false for every kind of caller and resource (Cedar's own typing says so),
conditions that contradict each other, permits whose sets have no registered agent or tool in common
(``membership``), and policies whose scope and conditions contain those of another one.
Not found: what follows from the attributes that registered things happen to have, from several policies
together, or from arithmetic beyond comparisons with numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cedarpy import Schema, pst
from msgspec import Struct

from gateway.core.model import Uid
from gateway.core.policy.claims import Claims, claims
from gateway.core.policy.entities import World
from gateway.core.policy.membership import unfit
from gateway.core.policy.rule import Rule
from gateway.core.policy.source import Problem
from gateway.core.policy.syntax import conditions, uid_of
from gateway.core.policy.validate import errors_of

_ILL_TYPED = pst.BinaryOp("eq", pst.BinaryOp("add", pst.LongLit(1), pst.StringLit("")), pst.LongLit(1))
Scope = pst.PrincipalOrResourceConstraint


class _Read(Struct, frozen=True):
    rule: Rule
    claims: Claims


def reach_warnings(rules: Sequence[Rule], schema: Schema, world: World) -> Iterator[Problem]:
    """A warning for each policy that can't match, or that another one covers; the rules are valid."""
    read = [_Read(rule, claims(rule.tree)) for rule in rules]
    dead: set[str] = set()
    for each, why in _unreachable(read, schema):
        dead.add(each.rule.id)
        effect = "never permits" if each.rule.effect == "permit" else "never forbids"
        yield each.rule.warning(f"the policy {effect} anything: {why}; mend its conditions, or remove it")
    for rule, why in unfit([each.rule for each in read if each.rule.id not in dead], world):
        dead.add(rule.id)
        yield rule.warning(f"the policy never permits anything: {why}; mend the registry, or the policy")
    alive = [each for each in read if each.rule.id not in dead]
    for each, other in _covered(alive, world):
        yield each.rule.warning(_told(each.rule, other.rule))


def _unreachable(read: Sequence[_Read], schema: Schema) -> Iterator[tuple[_Read, str]]:
    conditional = [each for each in read if each.rule.tree.clauses]
    found = errors_of([_probe(each.rule.tree) for each in conditional], schema)
    for index, each in enumerate(conditional):
        if each.claims.contradiction is not None:
            yield each, each.claims.contradiction
        elif index not in found:
            yield each, "its conditions are false for every kind of principal and resource that its scope lets in"


def _probe(tree: pst.Template) -> pst.Template:
    """A policy that is valid only if the conditions of ``tree`` are false whatever is asked.

    Cedar's validator does not look into the branch of an ``if`` that can't be reached; this one is ill-typed.
    """
    first, *rest = conditions(tree)
    for condition in rest:
        first = pst.BinaryOp("and", first, condition)
    guarded = pst.IfThenElse(first, _ILL_TYPED, pst.BoolLit(True))
    return replace(tree, clauses=(pst.When(guarded),))


def _covered(read: Sequence[_Read], world: World) -> Iterator[tuple[_Read, _Read]]:
    """Each policy with the first by id that covers it. Of two that cover each other, the later by id is told."""
    by_atom: dict[str, list[_Read]] = {}
    for each in read:
        for atom in each.claims.atoms:
            by_atom.setdefault(atom, []).append(each)
    found: dict[str, tuple[_Read, _Read]] = {}
    for wide in read:
        rarest = min(wide.claims.atoms, key=lambda atom: len(by_atom[atom]), default=None)
        for narrow in read if rarest is None else by_atom[rarest]:
            if narrow is wide or narrow.rule.id in found or not _matters(narrow.rule, wide.rule):
                continue
            if _covers(wide, narrow, world) and (wide.rule.id < narrow.rule.id or not _covers(narrow, wide, world)):
                found[narrow.rule.id] = (narrow, wide)
    yield from (found[name] for name in sorted(found))


def _matters(narrow: Rule, wide: Rule) -> bool:
    """Whether ``narrow`` would decide nothing, if ``wide`` covers it."""
    if wide.effect == "permit":
        return narrow.effect == "permit"
    if narrow.effect == "permit":
        # Lists are derived without conditions on arguments and usage, so such a forbid leaves them to the permit.
        return not wide.footprint.arguments and not wide.footprint.reads_context("usage")
    return wide.approval is None or wide.approval == narrow.approval


def _covers(wide: _Read, narrow: _Read, world: World) -> bool:
    one, other = wide.rule.tree, narrow.rule.tree
    return (
        narrow.claims.imply(wide.claims)
        and _action_covers(one.action, other.action, world)
        and _scope_covers(one.principal, other.principal, world)
        and _scope_covers(one.resource, other.resource, world)
    )


def _action_covers(wide: pst.ActionConstraint, narrow: pst.ActionConstraint, world: World) -> bool:
    within, asked = _actions(wide), _actions(narrow)
    if within is None or asked is None:
        return within is None
    return all(world.ancestors(uid) & within for uid in asked)


def _actions(constraint: pst.ActionConstraint) -> frozenset[Uid] | None:
    match constraint:
        case pst.ActionEq(entity=entity):
            return frozenset({uid_of(entity)})
        case pst.ActionIn(entities=entities):
            return frozenset(map(uid_of, entities))
    return None


def _scope_covers(wide: Scope, narrow: Scope, world: World) -> bool:
    if isinstance(wide, pst.ScopeAny) or wide == narrow:
        return True
    kind, inside = _bounds(narrow)
    match wide:
        case pst.ScopeIs(entity_type=entity_type):
            return kind == str(entity_type)
        case pst.ScopeIn(entity=pst.EntityUid() as uid):
            return inside is not None and uid_of(uid) in _around(inside, world)
        case pst.ScopeIsIn(entity_type=entity_type, entity=pst.EntityUid() as uid):
            return kind == str(entity_type) and inside is not None and uid_of(uid) in _around(inside, world)
    return False


def _bounds(scope: Scope) -> tuple[str | None, Uid | None]:
    """The only type that the scope lets in, and what all that it lets in is in; None where it doesn't say."""
    match scope:
        case pst.ScopeEq(entity=pst.EntityUid() as uid):
            return str(uid.type), uid_of(uid)
        case pst.ScopeIn(entity=pst.EntityUid() as uid):
            return None, uid_of(uid)
        case pst.ScopeIs(entity_type=entity_type):
            return str(entity_type), None
        case pst.ScopeIsIn(entity_type=entity_type, entity=pst.EntityUid() as uid):
            return str(entity_type), uid_of(uid)
    return None, None


def _around(uid: Uid, world: World) -> frozenset[Uid]:
    """What ``uid`` is surely in. A person's groups come with each token, so of people only themselves."""
    return frozenset({uid}) if uid.type == "User" else world.ancestors(uid)


def _told(narrow: Rule, wide: Rule) -> str:
    place = f"{wide.effect} `{wide.id}` ({wide.statement.path}:{wide.statement.line})"
    if narrow.effect != wide.effect:
        return f"the policy never permits anything: {place} holds wherever it does; narrow one of them"
    if narrow.approval is not None and wide.approval is None:
        return f"nobody is ever asked: {place} holds wherever this does, and can't be lifted; narrow one of them"
    return f"the policy changes no verdict: {place} holds wherever it does; remove it, or narrow the other"
