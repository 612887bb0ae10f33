"""What a policy reads: values, presence, memberships, tags; and which entities must exist for it to be decided.

Read off the syntax tree alone, so it says what a policy *could* read, whatever short-circuits at run time.
"""

from collections.abc import Iterable, Iterator

from cedarpy import pst
from msgspec import Struct

from gateway.core.model import Uid
from gateway.core.policy.render import render
from gateway.core.policy.syntax import Path, children, conditions, path_of, scope_tests, uid_of

ARGUMENTS = ("context", "args")


class Read(Struct, frozen=True, order=True):
    """A path below a record. ``whole``: its value with everything below; else only whether it is there."""

    path: Path
    whole: bool


class Node(Struct, frozen=True):
    """An expression that reads something, and its text."""

    expr: pst.Expr
    text: str


class Footprint(Struct, frozen=True):
    """The reads of one policy, or of several."""

    nodes: tuple[Node, ...] = ()
    """The outermost expressions that read something, in source order: what provenance records."""
    context: frozenset[Read] = frozenset()
    """Reads below ``context``; ``Read((), True)`` is the context used whole."""
    arguments: frozenset[Read] = frozenset()
    """Reads below ``context.args``: server, tool, name, …"""
    dereferenced: frozenset[pst.Expr] = frozenset()
    """Entity-valued paths and literals whose attributes, tags or ancestors are asked for."""
    literals: frozenset[Uid] = frozenset()

    def reads_context(self, field: str) -> bool:
        """Whether ``context.<field>`` or the whole context is read."""
        return any(not read.path or read.path[0] == field for read in self.context)


def footprint(policy: pst.Template) -> Footprint:
    """The footprint of one policy, its scope included."""
    nodes: list[pst.Expr] = []
    for expr in (*scope_tests(policy), *conditions(policy)):
        nodes.extend(_reading(expr))
    context: set[Read] = set()
    dereferenced: set[pst.Expr] = set()
    for node in nodes:
        _note_context(node, context)
        dereferenced.update(leaf for base in _dereferenced(node) for leaf in _leaves(base))
    return Footprint(
        nodes=tuple(Node(expr, render(expr)) for expr in dict.fromkeys(nodes)),
        context=frozenset(context),
        arguments=frozenset(
            Read(read.path[1:], read.whole or len(read.path) == 0)
            for read in context
            if read.path[:1] == ("args",) or (not read.path and read.whole)
        ),
        dereferenced=frozenset(dereferenced),
        literals=frozenset(uid_of(uid) for uid in pst.entity_uids(policy)),
    )


def union(footprints: Iterable[Footprint]) -> Footprint:
    """All that any of them reads; without ``nodes``, which belong to one policy."""
    found = tuple(footprints)
    return Footprint(
        context=frozenset().union(*(f.context for f in found)),
        arguments=frozenset().union(*(f.arguments for f in found)),
        dereferenced=frozenset().union(*(f.dereferenced for f in found)),
        literals=frozenset().union(*(f.literals for f in found)),
    )


def reads_arguments(expr: pst.Expr) -> bool:
    """Whether any part of the expression could read ``context.args``."""
    return _reads_any(expr, frozenset({"args"}))


def reads_usage(expr: pst.Expr) -> bool:
    """Whether any part of the expression could read ``context.usage``."""
    return _reads_any(expr, frozenset({"usage"}))


def unknown_when_listed(expr: pst.Expr) -> bool:
    """Whether the expression could read what a later call has and the listing of what may be called hasn't."""
    return _reads_any(expr, frozenset({"args", "usage"}))


def _reads_any(expr: pst.Expr, fields: frozenset[str]) -> bool:
    reads: set[Read] = set()
    for node in _reading(expr):
        _note_context(node, reads)
    return any(not read.path or read.path[0] in fields for read in reads)


def _reading(expr: pst.Expr) -> Iterator[pst.Expr]:
    """The outermost nodes that read: paths, presence, memberships, types, tags. Choices are spread out."""
    match expr:
        case pst.GetAttr(base=base):
            yield from _leaves(expr)
            yield from _chosen_by(base)
        case pst.HasAttr(base=base, attrs=attrs):
            yield from (pst.HasAttr(leaf, attrs) for leaf in _leaves(base))
            yield from _chosen_by(base)
        case pst.Is() | pst.BinaryOp(op="in" | "get_tag" | "has_tag"):
            yield expr
            for child in children(expr):
                yield from () if isinstance(child, pst.Var) else _reading(child)
        case pst.Var():
            yield expr
        case _:
            for child in children(expr):
                yield from _reading(child)


def _leaves(expr: pst.Expr) -> tuple[pst.Expr, ...]:
    """The paths and literals that the expression may stand for, through ``if`` and record literals."""
    match expr:
        case pst.IfThenElse(then_expr=then_expr, else_expr=else_expr):
            return (*_leaves(then_expr), *_leaves(else_expr))
        case pst.GetAttr(base=base, attr=attr):
            leaves = _leaves(base)
            if leaves == (base,) and not isinstance(base, pst.Record):
                return (expr,)
            return tuple(found for leaf in leaves for found in _attribute(leaf, attr))
    return (expr,)


def _attribute(leaf: pst.Expr, attr: str) -> tuple[pst.Expr, ...]:
    if isinstance(leaf, pst.Record):
        return _leaves(leaf.fields[attr]) if attr in leaf.fields else ()
    return (pst.GetAttr(leaf, attr),)


def _chosen_by(base: pst.Expr) -> Iterator[pst.Expr]:
    """The reads of a base that is neither a path nor a literal: the condition of an ``if`` and its like."""
    match base:
        case pst.GetAttr(base=below):
            yield from _chosen_by(below)
        case pst.IfThenElse(cond=cond, then_expr=then_expr, else_expr=else_expr):
            yield from _reading(cond)
            yield from _chosen_by(then_expr)
            yield from _chosen_by(else_expr)
        case pst.Var():
            return
        case _:
            yield from _reading(base)


def _note_context(node: pst.Expr, reads: set[Read]) -> None:
    base = node.base if isinstance(node, pst.HasAttr) else node
    path = path_of(base)
    if path is None or path[0] != "context":
        return
    below = (*node.attrs,) if isinstance(node, pst.HasAttr) else ()
    reads.add(Read((*path[1:], *below), not isinstance(node, pst.HasAttr)))


def _dereferenced(node: pst.Expr) -> Iterator[pst.Expr]:
    """The entity-valued expressions that the node looks into."""
    match node:
        case pst.BinaryOp(op="in" | "get_tag" | "has_tag", left=base):
            yield base
        case pst.Is(base=base, in_expr=in_expr) if in_expr is not None:
            yield base
        case pst.HasAttr(base=base):
            yield base
            node = base
    while isinstance(node, pst.GetAttr):
        node = node.base
        yield node
