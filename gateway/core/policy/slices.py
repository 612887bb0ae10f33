"""Slices: of all policies, those whose scope takes in one call, as a Cedar handle of their own (POLICY 2.9).

Exact: a policy whose scope excludes principal, action or resource is never satisfied and never errs, so leaving it
out changes no answer. Conditions aren't looked at. Slices are made when first asked for, and shared by all calls that
the same policies speak of.
"""

import hashlib
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any

from cedarpy import PolicySet, pst
from msgspec import Struct

from gateway.core.model import Uid
from gateway.core.policy.entities import World
from gateway.core.policy.facts import Facts
from gateway.core.policy.footprint import Footprint, footprint
from gateway.core.policy.reads import Reader, readers, reads_time
from gateway.core.policy.rule import Rule, policy_set
from gateway.core.policy.syntax import uid_of
from gateway.core.recent import Recent

MOST_SLICES = 512
"""Sets of policies whose handles are kept, for each question."""
MOST_PLACES = 8192
"""Principals and resources whose slice is remembered, for each question."""


class Part(Struct, frozen=True, eq=False):
    """One policy as a question asks it."""

    name: str
    tree: pst.Template
    reads: tuple[Footprint, ...]
    """Of the tree, and of the policy as its author wrote it: what a record tells."""
    digest: bytes
    """SHA-256 over all that an answer or a record takes from the policy."""


class Slice(Struct, frozen=True, eq=False):
    """The policies that one call is decided by."""

    digest: str
    """Hex SHA-256: the same policies asked the same question have the same one, in whatever bundle."""
    policies: PolicySet
    size: int
    reading: tuple[Reader, ...] | None
    """The key's readers; None where answers must not be remembered."""
    reads_time: bool
    reads_usage: bool
    """Whether the answer takes knowing what was used lately."""
    dereferenced: frozenset[pst.Expr]
    literals: frozenset[Uid]


class Cut:
    """All policies of one question, and the slices of it that were asked for."""

    def __init__(self, question: str, parts: Sequence[Part], world: World, salt: bytes) -> None:
        self._begin = hashlib.sha256(salt + question.encode()).digest()
        self._actions = {uid.id: world.ancestors(uid) for uid in world.registered if uid.type == "Action"}
        self._fill(parts)

    def _fill(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self._table: dict[str, dict[Uid | None, list[int]]] = {}
        self._slices = Recent[tuple[int, ...], Slice](MOST_SLICES)
        self._places = Recent[tuple[str, Uid, Uid], Slice](MOST_PLACES)
        for action, groups in self._actions.items():
            rows = self._table.setdefault(action, {})
            for number, part in enumerate(self.parts):
                if _acts(part.tree.action, groups):
                    rows.setdefault(_within(part.tree.resource), []).append(number)

    def other(self, parts: Sequence[Part]) -> "Cut":
        """The same question asked of other policies."""
        found = copy(self)
        found._fill(parts)
        return found

    def over(self) -> "Cut":
        """The same policies for another registry, where principals and resources may be in other groups and sets."""
        found = copy(self)
        found._places = Recent(MOST_PLACES)
        return found

    def of(self, facts: Facts) -> Slice:
        """The slice that decides these facts."""
        brought = facts.world.brought
        if facts.principal in brought or facts.resource in brought:
            return self._slice(self._chosen(facts))
        place = facts.action, facts.principal, facts.resource
        known = self._places.get(place)
        if known is None:
            known = self._slice(self._chosen(facts))
            self._places.put(place, known)
        return known

    def sizes(self) -> tuple[int, ...]:
        """How many policies each slice has that calls were decided by."""
        return tuple(each.size for each in self._slices.values())

    def _chosen(self, facts: Facts) -> tuple[int, ...]:
        rows, world = self._table.get(facts.action, {}), facts.world
        around, above = world.ancestors(facts.resource), world.ancestors(facts.principal)
        near = (number for uid in (None, *around) for number in rows.get(uid, ()))
        return tuple(
            sorted(
                number
                for number in near
                if _takes(self.parts[number].tree.resource, facts.resource, around)
                and _takes(self.parts[number].tree.principal, facts.principal, above)
            )
        )

    def _slice(self, numbers: tuple[int, ...]) -> Slice:
        known = self._slices.get(numbers)
        if known is None:
            known = self._made([self.parts[number] for number in numbers])
            self._slices.put(numbers, known)
        return known

    def _made(self, parts: Sequence[Part]) -> Slice:
        nodes = [node.expr for part in parts for each in part.reads for node in each.nodes]
        evaluated = [part.reads[0] for part in parts]
        return Slice(
            digest=hashlib.sha256(self._begin + b"".join(part.digest for part in parts)).hexdigest(),
            policies=PolicySet.from_pst(policy_set({part.name: part.tree for part in parts})),
            size=len(parts),
            reading=readers(nodes),
            reads_time=any(map(reads_time, nodes)),
            reads_usage=any(each.reads_context("usage") for each in evaluated),
            dereferenced=frozenset[pst.Expr]().union(*(each.dereferenced for each in evaluated)),
            literals=frozenset[Uid]().union(*(each.literals for each in evaluated)),
        )


def part_of(rule: Rule, tree: pst.Template) -> Part:
    """The rule as a question asks it: with ``tree`` in place of its own."""
    told = (rule.id, rule.place.tier, rule.statement.path, rule.approval or "", rule.statement.text, _text(tree))
    return Part(rule.id, tree, (footprint(tree), rule.footprint), _digest(told))


def own_part(tree: pst.Template) -> Part:
    """A policy of nobody's."""
    return Part(tree.id, tree, (footprint(tree),), _digest((_text(tree),)))


def _text(tree: pst.Template) -> str:
    return str(PolicySet.from_pst(policy_set({tree.id: tree})))


def _digest(told: Iterable[str]) -> bytes:
    return hashlib.sha256(b"".join(hashlib.sha256(each.encode()).digest() for each in told)).digest()


def _acts(scope: Any, groups: frozenset[Uid]) -> bool:
    match scope:
        case pst.ActionEq(entity=entity):
            return uid_of(entity) in groups
        case pst.ActionIn(entities=entities):
            return any(uid_of(entity) in groups for entity in entities)
    return True


def _within(scope: pst.PrincipalOrResourceConstraint) -> Uid | None:
    """The entity that the scope names."""
    match scope:
        case pst.ScopeEq(entity=pst.EntityUid() as uid) | pst.ScopeIn(entity=pst.EntityUid() as uid):
            return uid_of(uid)
        case pst.ScopeIsIn(entity=pst.EntityUid() as uid):
            return uid_of(uid)
    return None


def _takes(scope: pst.PrincipalOrResourceConstraint, uid: Uid, ancestors: frozenset[Uid]) -> bool:
    """Whether the scope takes the entity in."""
    match scope:
        case pst.ScopeEq(entity=pst.EntityUid() as named):
            return uid_of(named) == uid
        case pst.ScopeIn(entity=pst.EntityUid() as named):
            return uid_of(named) in ancestors
        case pst.ScopeIs(entity_type=kind):
            return str(kind) == uid.type
        case pst.ScopeIsIn(entity_type=kind, entity=pst.EntityUid() as named):
            return str(kind) == uid.type and uid_of(named) in ancestors
    return True
