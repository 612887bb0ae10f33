"""Reading Cedar's typed syntax tree: its parts, its paths, its conditions. It evaluates nothing."""

from collections.abc import Iterator

from cedarpy import pst

from gateway.core.model import Uid

Path = tuple[str, ...]


def uid_of(literal: pst.EntityUid) -> Uid:
    """The literal as the gateway's own ``Uid``."""
    return Uid(str(literal.type), literal.id)


def children(expr: pst.Expr) -> tuple[pst.Expr, ...]:
    """The direct sub-expressions, left to right."""
    match expr:
        case pst.UnaryOp(arg=arg):
            return (arg,)
        case pst.BinaryOp(left=left, right=right):
            return (left, right)
        case pst.GetAttr(base=base) | pst.HasAttr(base=base) | pst.Like(base=base):
            return (base,)
        case pst.Is(base=base, in_expr=in_expr):
            return (base,) if in_expr is None else (base, in_expr)
        case pst.IfThenElse(cond=cond, then_expr=then_expr, else_expr=else_expr):
            return (cond, then_expr, else_expr)
        case pst.Set(elements=elements):
            return elements
        case pst.Record(fields=fields):
            return tuple(fields.values())
    return ()


def walk(expr: pst.Expr) -> Iterator[pst.Expr]:
    """The expression and all below it."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def path_of(expr: pst.Expr) -> Path | None:
    """``("principal", "owner", "email")`` for attributes of a variable; None for anything else."""
    match expr:
        case pst.Var(name=name):
            return (name,)
        case pst.GetAttr(base=base, attr=attr):
            below = path_of(base)
            return None if below is None else (*below, attr)
    return None


def conjuncts(expr: pst.Expr) -> tuple[pst.Expr, ...]:
    """The operands of a chain of ``&&``, left to right."""
    match expr:
        case pst.BinaryOp(op="and", left=left, right=right):
            return (*conjuncts(left), *conjuncts(right))
    return (expr,)


def conditions(policy: pst.Template) -> tuple[pst.Expr, ...]:
    """What must hold besides the scope, in the order Cedar asks: ``unless`` turned into ``!``."""
    return tuple(
        clause.expr if isinstance(clause, pst.When) else pst.UnaryOp("not", clause.expr) for clause in policy.clauses
    )


def scope_tests(policy: pst.Template) -> tuple[pst.Expr, ...]:
    """The principal's and the resource's scope as expressions. The action's is the same for every reader."""
    return (*_scope_test("principal", policy.principal), *_scope_test("resource", policy.resource))


def _scope_test(name: pst.VarName, scope: pst.PrincipalOrResourceConstraint) -> tuple[pst.Expr, ...]:
    var = pst.Var(name)
    match scope:
        case pst.ScopeEq(entity=pst.EntityUid() as uid):
            return (pst.BinaryOp("eq", var, pst.EntityLit(uid)),)
        case pst.ScopeIn(entity=pst.EntityUid() as uid):
            return (pst.BinaryOp("in", var, pst.EntityLit(uid)),)
        case pst.ScopeIs(entity_type=entity_type):
            return (pst.Is(var, entity_type, None),)
        case pst.ScopeIsIn(entity_type=entity_type, entity=pst.EntityUid() as uid):
            return (pst.Is(var, entity_type, pst.EntityLit(uid)),)
    return ()


def clauses(policy: pst.Template) -> tuple[pst.Expr, ...]:
    """All that must hold for the policy to hold, but for its action: what is joined by ``&&`` one by one."""
    return (*scope_tests(policy), *(part for test in conditions(policy) for part in conjuncts(test)))


def alone(name: str, part: pst.Expr) -> pst.Template:
    """A permit that holds exactly if ``part`` does."""
    any_scope = pst.ScopeAny()
    return pst.Template(name, "permit", any_scope, any_scope, any_scope, (pst.When(part),), pst.FrozenMap())
