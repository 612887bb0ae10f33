"""The words that policies may use: names and closed values that the registry knows.

A misspelt group or ``"hihg"`` disarms a forbid without a sound, so an unknown word keeps the bundle from
loading. Kinds that the registry doesn't list (files, destinations, prompts, tasks) are not checked.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import get_args

from cedarpy import pst
from msgspec import Struct

from gateway.core.model import ProtocolName, Uid
from gateway.core.policy.entities import World
from gateway.core.policy.rule import Rule
from gateway.core.policy.source import Problem, did_you_mean
from gateway.core.policy.syntax import conditions, path_of, walk
from gateway.core.registry import Registry, RiskLevel, Status, Transport

CUSTOMARY_ENVIRONMENTS = frozenset({"production", "staging", "development", "test"})
"""Known even where nothing is registered in one yet, so that shipped policies load in a small deployment."""

_LISTED = frozenset(
    {
        "Group",
        "Team",
        "AgentClass",
        "ToolSet",
        "ServerSet",
        "ResourceSet",
        "ModelSet",
        "User",
        "Agent",
        "McpServer",
        "Tool",
        "Model",
    }
)
_TRANSPORT = "resource.protocol"
"""A network destination's, which is another word than ``context.protocol``."""
_COMPARISONS = frozenset({"eq", "not_eq", "contains", "contains_all", "contains_any"})


class Vocabulary(Struct, frozen=True):
    """Known ids by entity type, and known values by attribute."""

    entities: Mapping[str, frozenset[str]]
    values: Mapping[str, frozenset[str]]

    @property
    def groups(self) -> frozenset[str]:
        """Every group that a registered agent or person is in."""
        return self.entities["Group"]


def vocabulary(registry: Registry, world: World) -> Vocabulary:
    """The registry's words."""
    tools = [tool for server in registry.servers.values() for tool in server.tools.values()]
    servers = registry.servers.values()
    environments = [item.environment for items in (registry.agents.values(), servers, tools) for item in items]
    capabilities = [item.capabilities for items in (registry.agents.values(), tools) for item in items]
    return Vocabulary(
        entities={kind: frozenset(uid.id for uid in world.registered if uid.type == kind) for kind in sorted(_LISTED)},
        values={
            "risk_level": frozenset(get_args(RiskLevel)),
            "status": frozenset(get_args(Status)),
            "protocol": frozenset(get_args(ProtocolName)),
            _TRANSPORT: frozenset(get_args(Transport)),
            "environment": CUSTOMARY_ENVIRONMENTS.union(environments),
            "capabilities": frozenset(chain.from_iterable(capabilities)),
        },
    )


def vocabulary_problems(rule: Rule, known: Vocabulary) -> Iterator[Problem]:
    """Every word of the policy that the registry does not know."""
    for uid in sorted(rule.footprint.literals):
        names = known.entities.get(uid.type)
        if names is not None and uid.id not in names:
            yield rule.problem(_unknown_entity(uid, names), uid.id)
    for condition in conditions(rule.tree):
        for expr in walk(condition):
            yield from _value_problems(rule, expr, known)


def _value_problems(rule: Rule, expr: pst.Expr, known: Vocabulary) -> Iterator[Problem]:
    """Strings that are compared with an attribute of closed values, on either side, alone or in a set."""
    match expr:
        case pst.BinaryOp(op=op, left=left, right=right) if op in _COMPARISONS:
            sides = ((left, right), (right, left))
        case pst.Like(base=base):
            attribute = _closed(base, known)
            if attribute is not None:
                yield rule.problem(f"`{attribute}` has closed values; compare it with `==`, not with `like`", "like")
            return
        case _:
            return
    for path, other in sides:
        attribute = _closed(path, known)
        if attribute is None:
            continue
        for word in _strings(other):
            if word not in known.values[attribute]:
                near = did_you_mean(word, known.values[attribute])
                yield rule.problem(f'no {attribute} is "{word}"{near}', word)


def _closed(expr: pst.Expr, known: Vocabulary) -> str | None:
    """The closed attribute at the end of the path, but for ``context.args``, where names are the tools' own."""
    if not isinstance(expr, pst.GetAttr) or expr.attr not in known.values:
        return None
    path = path_of(expr)
    if path is not None and path[:2] == ("context", "args"):
        return None
    return _TRANSPORT if expr.attr == "protocol" and path != ("context", "protocol") else expr.attr


def _strings(expr: pst.Expr) -> Iterator[str]:
    for part in walk(expr):
        if isinstance(part, pst.StringLit):
            yield part.value


def _unknown_entity(uid: Uid, names: frozenset[str]) -> str:
    kinds = {
        "Group": "nobody is in it",
        "ToolSet": "no tool is in it",
        "ServerSet": "no server is in it",
        "ResourceSet": "no resource is in it",
    }
    return f"{uid} is not in the registry: {kinds.get(uid.type, 'nothing has this name')}{did_you_mean(uid.id, names)}"
