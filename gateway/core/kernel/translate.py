"""A policy's tree as a formula for one class and one action, and what of it can't be said there, clause by clause.

What can't be said becomes false in a permit and true in a forbid, where it stands. A part that can fail makes Cedar
skip the policy, so in a permit nothing that Cedar would look at after it is believed.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from cedarpy import pst
from msgspec import Struct

from gateway.core.kernel.actions import ATTRIBUTES, RESOURCE_OF, KernelPolicy
from gateway.core.kernel.formula import (
    FALSE,
    TRUE,
    Called,
    Const,
    Formula,
    Host,
    Literally,
    Path,
    Port,
    Protocol,
    Within,
    joined,
)
from gateway.core.kernel.ground import Ground, is_ground
from gateway.core.kernel.hosts import known_host
from gateway.core.kernel.pattern import like, literal
from gateway.core.policy.render import render
from gateway.core.policy.syntax import conditions, scope_tests, uid_of, walk

_FILES = frozenset({"FilePath", "Executable", "Library"})
_ARITHMETIC = frozenset({"add", "sub", "mul", "neg"})
_SHOWN = 5


class Clause(Struct, frozen=True, order=True):
    """A part of a policy that isn't said to the kernel, and why."""

    text: str
    reason: str


class Part(Struct, frozen=True):
    """A formula, what was left out of it, and whether Cedar could fail where it stands."""

    formula: Formula
    clauses: tuple[Clause, ...] = ()
    fails: bool = False

    @property
    def exact(self) -> bool:
        """Whether it says just what Cedar says."""
        return not self.clauses and not self.fails


def ground_parts(policy: KernelPolicy) -> Iterator[pst.Expr]:
    """The largest parts of the policy that only agents and actions decide."""
    for test in (*scope_tests(policy.tree), *conditions(policy.tree)):
        yield from _ground_parts(test)


def _ground_parts(expr: pst.Expr) -> Iterator[pst.Expr]:
    if is_ground(expr):
        yield expr
        return
    match expr:
        case pst.UnaryOp(op="not", arg=arg):
            yield from _ground_parts(arg)
        case pst.BinaryOp(op="and" | "or", left=left, right=right):
            yield from _ground_parts(left)
            yield from _ground_parts(right)
        case pst.IfThenElse(cond=cond, then_expr=then_expr, else_expr=else_expr):
            for part in (cond, then_expr, else_expr):
                yield from _ground_parts(part)


def translated(policy: KernelPolicy, kind: str, action: str, ground: Ground) -> Part:
    """What the policy says of ``action`` for agents of class ``kind``."""
    reader = _Reader(policy.effect == "permit", kind, action, ground)
    tests = (*scope_tests(policy.tree), *conditions(policy.tree))
    return reader.joined("and", [reader.part(test, positive=True) for test in tests])


class _Reader(Struct, frozen=True):
    permits: bool
    kind: str
    action: str
    ground: Ground

    @property
    def resource(self) -> str:
        return RESOURCE_OF[self.action]

    def part(self, expr: pst.Expr, *, positive: bool) -> Part:
        """The expression, or with ``positive`` false its opposite."""
        if is_ground(expr):
            return self._ground(expr, positive)
        match expr:
            case pst.UnaryOp(op="not", arg=arg):
                return self.part(arg, positive=not positive)
            case pst.BinaryOp(op="and" | "or" as op, left=left, right=right):
                by: Literal["and", "or"] = "and" if (op == "and") == positive else "or"
                return self.joined(by, [self.part(each, positive=positive) for each in (left, right)])
            case pst.IfThenElse(cond=cond, then_expr=then_expr, else_expr=else_expr):
                chosen = [self.part(cond, positive=True), self.part(then_expr, positive=positive)]
                other = [self.part(cond, positive=False), self.part(else_expr, positive=positive)]
                return self.joined("or", [self.joined("and", chosen), self.joined("and", other)])
        return self._leaf(expr, positive)

    def joined(self, by: Literal["and", "or"], parts: Sequence[Part]) -> Part:
        """The parts in the order that Cedar asks them; what an exact one decides, no later one changes."""
        absorbing = Const(by == "or")
        for index, part in enumerate(parts):
            if part.exact and part.formula == absorbing:
                before = parts[:index]
                if not any(each.fails for each in before):
                    return part
        clauses = tuple(dict.fromkeys(clause for part in parts for clause in part.clauses))
        formulas = [part.formula for part in parts]
        failing = next((index for index, part in enumerate(parts) if part.fails), len(parts))
        if self.permits and by == "or":
            formulas = formulas[: failing + 1]
        return Part(joined(by, tuple(formulas)), clauses, failing < len(parts))

    def _ground(self, expr: pst.Expr, positive: bool) -> Part:
        answer = self.ground.answer(self.kind, self.action, expr)
        if answer in ("true", "false"):
            return Part(Const((answer == "true") == positive))
        if answer == "unknown":
            return self._without(expr, "no registered agent is in the class, so who will be in it isn't known")
        if answer == "fails":
            return self._without(expr, "it fails for some agent of the class", fails=True)
        others = self.ground.differing(self.kind, self.action, expr)
        some = ", ".join(others[:_SHOWN]) + (", …" if len(others) > _SHOWN else "")
        reason = f"it isn't true for {some}, and the kernel doesn't tell agents of one class apart"
        return self._without(expr, reason)

    def _without(self, expr: pst.Expr, reason: str, *, fails: bool = False) -> Part:
        return Part(FALSE if self.permits else TRUE, (Clause(render(expr), reason),), fails)

    def _leaf(self, expr: pst.Expr, positive: bool) -> Part:
        match expr:
            case pst.Is(base=pst.Var(name="resource"), entity_type=entity_type, in_expr=in_expr):
                same = Part(Const((str(entity_type) == self.resource) == positive))
                if in_expr is None:
                    return same
                within = self.part(pst.BinaryOp("in", pst.Var("resource"), in_expr), positive=positive)
                return self.joined("and" if positive else "or", [same, within])
            case pst.HasAttr(base=pst.Var(name="resource"), attrs=(attr,)):
                return Part(Const((attr in ATTRIBUTES[self.resource]) == positive))
            case pst.Like(base=pst.GetAttr(base=pst.Var(name="resource"), attr="path"), pattern=pattern):
                if self.resource in _FILES:
                    return Part(Literally(Path(like(pattern)), positive))
            case pst.BinaryOp(op="eq" | "not_eq" as op, left=left, right=right):
                return self._equal(expr, left, right, positive == (op == "eq"))
            case pst.BinaryOp(op="contains", left=pst.Set(elements=elements), right=right):
                return self._any(expr, [pst.BinaryOp("eq", right, each) for each in elements], positive)
            case pst.BinaryOp(op="in", left=pst.Var(name="resource"), right=right):
                return self._within(expr, right, positive)
        return self._unsaid(expr)

    def _any(self, expr: pst.Expr, parts: Sequence[pst.Expr], positive: bool) -> Part:
        found = [self._leaf(part, positive) for part in parts]
        if any(part.fails for part in found):
            return self._unsaid(expr)
        return self.joined("or" if positive else "and", found)

    def _within(self, expr: pst.Expr, right: pst.Expr, positive: bool) -> Part:
        match right:
            case pst.Set(elements=elements):
                parts = [pst.BinaryOp("in", pst.Var("resource"), each) for each in elements]
                return self._any(expr, parts, positive)
            case pst.EntityLit(value=uid) if str(uid.type) == "DestinationSet":
                inside = self.resource == "NetworkDestination"
                return Part(Literally(Within(uid.id), positive) if inside else Const(not positive))
            case pst.EntityLit():
                return self._equal(expr, pst.Var("resource"), right, positive)
        return self._unsaid(expr)

    def _equal(self, expr: pst.Expr, left: pst.Expr, right: pst.Expr, positive: bool) -> Part:
        if isinstance(left, pst.StringLit | pst.LongLit | pst.EntityLit):
            left, right = right, left
        match left, right:
            case pst.Var(name="resource"), pst.EntityLit(value=entity):
                uid = uid_of(entity)
                if uid.type != self.resource:
                    return Part(Const(not positive))
                if uid.type in _FILES:
                    return Part(Literally(Path(literal(uid.id)), positive))
                if uid.type == "SystemCall":
                    return Part(Literally(Called(uid.id), positive))
            case pst.GetAttr(base=pst.Var(name="resource"), attr=attr), _ if attr in ATTRIBUTES[self.resource]:
                return self._value(expr, attr, right, positive)
        return self._unsaid(expr)

    def _value(self, expr: pst.Expr, attr: str, right: pst.Expr, positive: bool) -> Part:
        match attr, right:
            case "path", pst.StringLit(value=text):
                return Part(Literally(Path(literal(text)), positive))
            case "name", pst.StringLit(value=text):
                return Part(Literally(Called(text), positive))
            case "protocol", pst.StringLit(value=text):
                return Part(Literally(Protocol(text), positive) if text in ("tcp", "udp") else Const(not positive))
            case "port", pst.LongLit(value=port):
                return Part(Literally(Port(port), positive) if 0 <= port <= 65535 else Const(not positive))
            case "host", pst.StringLit(value=text):
                return self._host(expr, text, positive)
        return self._unsaid(expr)

    def _host(self, expr: pst.Expr, text: str, positive: bool) -> Part:
        """A host that no connection has never matches; a forbid of it is taken as it is meant, and a permit as said."""
        host = known_host(text)
        if host is None:
            return Part(Const(not positive))
        if host.text == text and (host.is_name or "/" not in text):
            return Part(Literally(Host(text), positive))
        if positive == self.permits:
            return Part(Const(not positive))
        reason = f"no connection's host is written like this; taken as {host.text}"
        return Part(Literally(Host(host.text), positive), (Clause(render(expr), reason),))

    def _unsaid(self, expr: pst.Expr) -> Part:
        arithmetic = any(
            isinstance(each, pst.UnaryOp | pst.BinaryOp) and each.op in _ARITHMETIC for each in walk(expr)
        )  # fmt: skip
        return self._without(expr, _why(expr, arithmetic), fails=arithmetic)


def _why(expr: pst.Expr, arithmetic: bool) -> str:
    names = {part.name for part in walk(expr) if isinstance(part, pst.Var)}
    if "context" in names:
        return "it reads the context, and the kernel knows of no call, user or chain"
    if arithmetic:
        return "it calculates, and the kernel's rules hold words and numbers only"
    if "principal" in names:
        return "it compares the agent with what the action is done to"
    match expr:
        case pst.BinaryOp(op="less" | "less_eq" | "greater" | "greater_eq"):
            return "rules name single ports; compare with `==`"
        case pst.Like():
            return "only `resource.path` is matched by pattern"
        case pst.BinaryOp(op="eq" | "not_eq" | "in", right=pst.EntityLit(value=uid)) if (
            str(uid.type) == "NetworkDestination"
        ):
            return "a connection has a host, a port and a protocol, and no name; compare these, or name a set"
    return "the kernel's rules know nothing like it"
