"""Permits that nothing registered can be a case of: no agent, or no tool, is in all the sets that they ask for at once.

Looks at memberships and identities only, which a registry is there to say, and not at attributes: a permit that waits
for the first agent of high risk is no mistake. Agents and tools that aren't registered are refused before any policy.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cedarpy import pst

from gateway.core.model import Uid
from gateway.core.policy.entities import World
from gateway.core.policy.rule import Rule
from gateway.core.policy.syntax import clauses, path_of, uid_of

REGISTERED = frozenset({"Agent", "Tool"})
"""Types of which a call's principal or resource is always a registered one."""
_ONLY = {"ToolSet": "Tool", "AgentClass": "Agent"}
"""Sets that have members of one type only, or, as tasks of tools, what is in the same sets as one of it."""
_TOOL_ACTION = Uid("Action", "invokeTool")
Members = Mapping[Uid, frozenset[Uid]]


class _Asked(NamedTuple):
    """What a policy asks of its principal or its resource."""

    kinds: frozenset[str]
    sets: tuple[Uid, ...]
    same: tuple[Uid, ...]


def unfit(rules: Sequence[Rule], world: World) -> Iterator[tuple[Rule, str]]:
    """Each permit that can have no case, and why."""
    permits = [rule for rule in rules if rule.effect == "permit"]
    members = _members(world) if permits else {}
    for rule in permits:
        for name in ("principal", "resource"):
            asked = _asked(rule.tree, name)
            why = None if not asked.sets and len(asked.same) < 2 else _nobody(asked, members)
            if why is not None:
                yield rule, why
                break


def _members(world: World) -> Members:
    """By set, group, team, server and class: the agents and tools that are in it; each is in itself."""
    found: dict[Uid, set[Uid]] = {}
    for uid in world.registered:
        if uid.type in REGISTERED:
            for around in world.ancestors(uid):
                found.setdefault(around, set()).add(uid)
    return {around: frozenset(inside) for around, inside in found.items()}


def _asked(tree: pst.Template, name: str) -> _Asked:
    kinds: set[str] = set()
    sets: list[Uid] = []
    same: list[Uid] = []
    if name == "resource" and isinstance(tree.action, pst.ActionEq) and uid_of(tree.action.entity) == _TOOL_ACTION:
        kinds.add("Tool")
    for part in clauses(tree):
        match part:
            case pst.Is(base=base, entity_type=kind, in_expr=inside) if path_of(base) == (name,):
                kinds.add(str(kind))
                if isinstance(inside, pst.EntityLit):
                    sets.append(uid_of(inside.value))
            case pst.BinaryOp(op="in", left=left, right=pst.EntityLit(value=uid)) if path_of(left) == (name,):
                sets.append(uid_of(uid))
            case pst.BinaryOp(op="eq", left=left, right=pst.EntityLit(value=uid)) if path_of(left) == (name,):
                same.append(uid_of(uid))
    kinds.update(_ONLY[uid.type] for uid in sets if uid.type in _ONLY)
    kinds.update(uid.type for uid in same)
    return _Asked(frozenset(kinds), tuple(dict.fromkeys(sets)), tuple(dict.fromkeys(same)))


def _nobody(asked: _Asked, members: Members) -> str | None:
    """Why no agent or tool is all that is asked for; None where one is, or where others could be."""
    if not asked.kinds or asked.kinds - REGISTERED:
        return None
    nothing: frozenset[Uid] = frozenset()
    left = [members.get(uid, nothing) for uid in asked.sets] + [frozenset({uid}) for uid in asked.same]
    kinds = " and ".join(sorted(asked.kinds))
    if any(uid.type in asked.kinds for uid in frozenset.intersection(*left)):
        return None
    wanted = [f"in {uid}" for uid in asked.sets] + [str(uid) for uid in asked.same]
    return f"no {kinds} that is registered is {' and '.join(wanted)}"
