"""Cedar expressions as text, for people: in records, near misses and messages."""

from cedarpy import pst

from gateway.core.policy.syntax import uid_of

_INFIX = {
    "eq": "==",
    "not_eq": "!=",
    "less": "<",
    "less_eq": "<=",
    "greater": ">",
    "greater_eq": ">=",
    "and": "&&",
    "or": "||",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "in": "in",
}
_CAMEL = {
    "contains_all": "containsAll",
    "contains_any": "containsAny",
    "get_tag": "getTag",
    "has_tag": "hasTag",
    "is_empty": "isEmpty",
    "is_in_range": "isInRange",
    "duration_since": "durationSince",
    "decimal_less_than": "lessThan",
    "decimal_less_eq": "lessThanOrEqual",
    "decimal_greater": "greaterThan",
    "decimal_greater_eq": "greaterThanOrEqual",
}
_CONSTRUCTORS = frozenset({"datetime", "decimal", "duration", "ip"})


def render(expr: pst.Expr) -> str:
    """The expression as an author would write it, with brackets only around infix operands."""
    match expr:
        case pst.GetAttr(base=base, attr=attr):
            return f"{_operand(base)}.{attr}" if attr.isidentifier() else f"{_operand(base)}[{quoted(attr)}]"
        case pst.HasAttr(base=base, attrs=attrs):
            return f"{_operand(base)} has {'.'.join(a if a.isidentifier() else quoted(a) for a in attrs)}"
        case pst.Like(base=base, pattern=pattern):
            return f"{_operand(base)} like {_pattern(pattern)}"
        case pst.Is(base=base, entity_type=entity_type, in_expr=in_expr):
            within = "" if in_expr is None else f" in {_operand(in_expr)}"
            return f"{_operand(base)} is {entity_type}{within}"
        case pst.UnaryOp() | pst.BinaryOp():
            return _operation(expr)
        case pst.IfThenElse(cond=cond, then_expr=then_expr, else_expr=else_expr):
            return f"if {render(cond)} then {render(then_expr)} else {render(else_expr)}"
        case pst.Set(elements=elements):
            return f"[{', '.join(map(render, elements))}]"
        case pst.Record(fields=fields):
            return "{" + ", ".join(f"{quoted(name)}: {render(value)}" for name, value in fields.items()) + "}"
    return _leaf(expr)


def _leaf(expr: pst.Expr) -> str:
    match expr:
        case pst.Var(name=name):
            return name
        case pst.BoolLit(value=value):
            return "true" if value else "false"
        case pst.LongLit(value=number):
            return str(number)
        case pst.StringLit(value=text):
            return quoted(text)
        case pst.EntityLit(value=uid):
            return str(uid_of(uid))
    raise TypeError(f"not a leaf of an expression: {type(expr).__name__}")


def quoted(text: str) -> str:
    """``text`` as a Cedar string literal: also for log lines, since control characters are escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in escaped) + '"'


def _operation(expr: pst.UnaryOp | pst.BinaryOp) -> str:
    name = _CAMEL.get(expr.op, expr.op)
    if isinstance(expr, pst.BinaryOp):
        left, right = _operand(expr.left), render(expr.right)
        if expr.op in _INFIX:
            return f"{left} {_INFIX[expr.op]} {_operand(expr.right)}"
        return f"{left}.{name}({right})"
    if expr.op in {"not", "neg"}:
        return f"{'!' if expr.op == 'not' else '-'}{_operand(expr.arg)}"
    if expr.op in _CONSTRUCTORS:
        return f"{name}({render(expr.arg)})"
    head, *tail = name.split("_")
    return f"{_operand(expr.arg)}.{head}{''.join(part.capitalize() for part in tail)}()"


def _operand(expr: pst.Expr) -> str:
    infix = isinstance(expr, pst.BinaryOp) and expr.op in _INFIX
    loose = infix or isinstance(expr, pst.HasAttr | pst.Like | pst.Is | pst.IfThenElse)
    return f"({render(expr)})" if loose else render(expr)


def _pattern(pattern: tuple[pst.PatternElem, ...]) -> str:
    parts = (
        "*" if isinstance(elem, pst.Wildcard) else quoted(elem.value)[1:-1].replace("*", "\\*") for elem in pattern
    )
    return '"' + "".join(parts) + '"'
