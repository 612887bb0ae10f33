"""The exact facts that policies read of one call, as the key under which Cedar's answer may be remembered.

Two calls with the same key give every condition the same values. What this analysis doesn't know has no key, and
so has whatever reads the time: such answers are never remembered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from cedarpy import pst

from gateway.core.model import Uid
from gateway.core.policy.facts import Facts
from gateway.core.policy.syntax import path_of
from gateway.core.policy.values import Instant, Value

UNKEPT = frozenset({"now", "usage"})
"""Fields of the context that change from call to call: what reads them is decided each time."""
MOST_KEY_BYTES = 4096
"""Of the facts of one key. Calls that policies read more of (long arguments) are decided each time."""

Reader = Callable[[Facts], Any]
"""What one expression reads of a call, as a value that JSON writes in one way only."""


def readers(nodes: Iterable[pst.Expr]) -> tuple[Reader, ...] | None:
    """A reader for each expression that reads something; None where one isn't understood, or reads what changes."""
    found: dict[pst.Expr, Reader] = {}
    for node in nodes:
        reader = None if _reads_unkept(node) else _reader(node)
        if reader is None:
            return None
        found[_read_of(node)] = reader
    return tuple(found.values())


def reads_time(node: pst.Expr) -> bool:
    """Whether the node is the time itself, or the context as a whole."""
    return _reads(node, frozenset({"now"}))


def written(fixed: Sequence[Any], reading: Iterable[Reader], facts: Facts) -> bytes | None:
    """The key; None where it is too long, or the call has text that neither JSON nor Cedar can hold."""
    if not _sound(facts):
        return None
    try:
        key = msgspec.json.encode([*fixed, *(reader(facts) for reader in reading)])
    except UnicodeEncodeError:
        return None
    return key if len(key) <= MOST_KEY_BYTES else None


def _reads_unkept(node: pst.Expr) -> bool:
    return _reads(node, UNKEPT)


def _reads(node: pst.Expr, fields: frozenset[str]) -> bool:
    path = path_of(node)
    return path is not None and path[0] == "context" and (len(path) == 1 or path[1] in fields)


def _reader(node: pst.Expr) -> Reader | None:
    match node:
        case pst.Var(name="principal" | "action" | "resource"):
            return _nothing
        case pst.HasAttr(base=base, attrs=attrs) if _plain(base):
            return lambda facts: _present(facts, base, attrs)
        case pst.Is(base=base, in_expr=None) if _plain(base):
            return lambda facts: _kind(facts.value(base))
        case pst.Is(base=base) if _plain(base):
            return lambda facts: _lineage(facts, base)
        case pst.BinaryOp(op="in", left=left) if _plain(left):
            return lambda facts: _lineage(facts, left)
        case pst.BinaryOp(op="get_tag" | "has_tag", left=left, right=pst.StringLit(value=name)) if _plain(left):
            return lambda facts: _told(_tags(facts, left).get(name))
        case pst.BinaryOp(op="get_tag" | "has_tag", left=left) if _plain(left):
            return lambda facts: _told(_tags(facts, left))
        case pst.GetAttr() | pst.EntityLit() | pst.StringLit() | pst.LongLit() | pst.BoolLit() if _plain(node):
            return lambda facts: _told(facts.value(node))
    return None


def _read_of(node: pst.Expr) -> pst.Expr:
    """The same for nodes that read the same: what an entity is in is read once, whatever it is looked for in."""
    match node:
        case pst.BinaryOp(op="in", left=left):
            return pst.BinaryOp("in", left, left)
    return node


def _plain(expr: pst.Expr) -> bool:
    """Whether ``Facts.value`` knows what the expression stands for: a variable, a literal, or attributes of these."""
    match expr:
        case pst.GetAttr(base=base):
            return _plain(base)
        case pst.Var() | pst.EntityLit() | pst.StringLit() | pst.LongLit() | pst.BoolLit():
            return True
    return False


def _nothing(_: Facts) -> None:
    """Principal, action and resource are in every key."""


def _present(facts: Facts, base: pst.Expr, attrs: Sequence[str]) -> bool:
    for attr in attrs:
        if attr not in facts.attributes(base):
            return False
        base = pst.GetAttr(base, attr)
    return True


def _kind(value: Value) -> str | None:
    return value.type if isinstance(value, Uid) else None


def _lineage(facts: Facts, left: pst.Expr) -> Any:
    """All that the entity is in, itself included; more than policies name, which costs only hits."""
    value = facts.value(left)
    return [*map(str, sorted(facts.world.ancestors(value)))] if isinstance(value, Uid) else None


def _tags(facts: Facts, holder: pst.Expr) -> Mapping[str, str]:
    value = facts.value(holder)
    entity = facts.world.get(value) if isinstance(value, Uid) else None
    return {} if entity is None else entity.tags


def _told(value: Value) -> Any:
    """The value, its kind told apart from any text that looks like it; absent is null."""
    match value:
        case Uid(type=kind, id=name):
            return ["e", kind, name]
        case Instant(ms=ms):
            return ["t", ms]
        case tuple():
            return ["s", *sorted(map(_told, value), key=repr)]
        case Mapping():
            return ["r", *([name, _told(item)] for name, item in sorted(value.items()))]
    return value


def _sound(facts: Facts) -> bool:
    """Whether what the token brings, read or not, is text that Cedar takes: it refuses all of a call for some of it."""
    found: list[str] = [*facts.context["scopes"], facts.context.get("purpose", "")]
    for uid, entity in facts.world.brought.items():
        found.append(uid.id)
        found.extend(parent.id for parent in entity.parents)
        for value in entity.attrs.values():
            found.extend((value,) if isinstance(value, str) else value if isinstance(value, tuple) else ())
    text = "".join(each for each in found if isinstance(each, str))
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
