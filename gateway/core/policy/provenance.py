"""Why a policy decided: the values of exactly what its scope and conditions read.

Values of arguments that the registry marks sensitive are replaced by a keyed digest, or left out
where no key was given: a plain digest of an amount or a name is a value anyone can guess.
"""

import hashlib
import hmac
import json

from cedarpy import pst

from gateway.core.model import Match, Uid
from gateway.core.policy.facts import Facts
from gateway.core.policy.footprint import ARGUMENTS, Footprint
from gateway.core.policy.syntax import path_of
from gateway.core.policy.values import Value, plain
from gateway.core.registry import Registry, Tool


class Witness:
    """Reads the values that policies read, for one call."""

    def __init__(self, facts: Facts, registry: Registry, digest_key: bytes | None) -> None:
        self._facts = facts
        self._digest_key = digest_key
        resource = facts.resource
        self._tool = registry.tool(*resource.id.split("/", 1)) if resource.type == "Tool" else None

    def matched(self, footprint: Footprint) -> tuple[Match, ...]:
        """One ``Match`` for each read that the call has a value for, in source order.

        A presence test is left out where the value itself is recorded.
        """
        found: dict[str, Match] = {}
        for node in footprint.nodes:
            value = self.read(node.expr)
            if value is not None:
                found[node.text] = Match(node.text, value)
        told = tuple(name for name in found if " " not in name)
        return tuple(match for name, match in found.items() if not _implied(name, match, told))

    def read(self, node: pst.Expr) -> Value:
        """The plain value of one read; None where there is none."""
        facts = self._facts
        match node:
            case pst.HasAttr(base=base, attrs=attrs):
                return self._has(base, attrs)
            case pst.Is(base=base, entity_type=entity_type, in_expr=in_expr):
                value = facts.value(base)
                if not isinstance(value, Uid):
                    return None
                within = True if in_expr is None else self._within(value, in_expr)
                return within and value.type == str(entity_type)
            case pst.BinaryOp(op="in", left=left, right=right):
                value = facts.value(left)
                return self._within(value, right) if isinstance(value, Uid) else None
            case pst.BinaryOp(op="get_tag" | "has_tag" as op, left=left, right=right):
                return self._tag(left, facts.value(right), present=op == "has_tag")
        value = facts.value(node)
        return None if value is None else self._shown(node, value)

    def _has(self, base: pst.Expr, attrs: tuple[str, ...]) -> bool:
        for attr in attrs:
            if attr not in self._facts.attributes(base):
                return False
            base = pst.GetAttr(base, attr)
        return True

    def _within(self, value: Uid, right: pst.Expr) -> bool | None:
        candidates = right.elements if isinstance(right, pst.Set) else (right,)
        targets = [self._facts.value(candidate) for candidate in candidates]
        ancestors = self._facts.world.ancestors(value)
        return None if None in targets else any(target in ancestors for target in targets)

    def _tag(self, left: pst.Expr, key: Value, *, present: bool) -> Value:
        holder = self._facts.value(left)
        entity = self._facts.world.get(holder) if isinstance(holder, Uid) else None
        if entity is None or not isinstance(key, str):
            return None
        return key in entity.tags if present else entity.tags.get(key)

    def _shown(self, node: pst.Expr, value: Value) -> Value:
        """The value, but for sensitive arguments, alone or within a larger record."""
        shown = plain(value)
        path = path_of(node)
        if self._tool is None or not self._tool.sensitive or path is None or path[:2] != ARGUMENTS:
            return shown
        return _redact(shown, path[2:], self._tool, self._digest_key)


def _redact(shown: Value, below: tuple[str, ...], tool: Tool, key: bytes | None) -> Value:
    """``below``: the path under ``context.args``; ``server, tool, name`` is where marks apply."""
    if len(below) >= 3:
        return _digest(shown, key) if below[2] in tool.sensitive else shown
    if not isinstance(shown, dict):
        return shown
    return {name: _redact(value, (*below, name), tool, key) for name, value in shown.items()}


def _digest(shown: Value, key: bytes | None) -> Value:
    if key is None:
        return {"redacted": True}
    text = json.dumps(shown, sort_keys=True, separators=(",", ":"))
    return {"sha256": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}


def _implied(name: str, match: Match, told: tuple[str, ...]) -> bool:
    """Whether a recorded value already proves the presence ``x has y``."""
    base, has, attr = name.partition(" has ")
    if not has or match.value is not True:
        return False
    path = f"{base}.{attr}" if attr.isidentifier() else f"{base}[{attr}]"
    return any(other == path or other.startswith((f"{path}.", f"{path}[")) for other in told)
