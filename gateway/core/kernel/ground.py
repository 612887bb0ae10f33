"""What registered agents make true: the parts of policies that speak of the principal and the action alone.

Cedar itself is asked, once for each agent and action. The kernel tells classes apart and not the agents of one, so a
part counts as true, or as false, only if it is that for each agent of the class.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from cedarpy import Entities, PolicySet, Schema, is_authorized, pst
from msgspec import Struct

from gateway.core.kernel.actions import RESOURCE_OF
from gateway.core.model import Uid
from gateway.core.policy.entities import World, load
from gateway.core.policy.evaluate import failing
from gateway.core.policy.rule import policy_set
from gateway.core.policy.syntax import alone, uid_of, walk

Answer = Literal["true", "false", "mixed", "unknown", "fails"]


class _Said(Struct, frozen=True):
    """Numbers of the parts that hold, and of those that fail."""

    holding: frozenset[int]
    failing: frozenset[int]


class Ground(Struct, frozen=True):
    """Answers by agent and action."""

    numbers: Mapping[pst.Expr, int]
    said: Mapping[tuple[Uid, str], _Said]
    classes: Mapping[str, tuple[Uid, ...]]
    """Class → its registered agents."""

    def answer(self, kind: str, action: str, part: pst.Expr) -> Answer:
        """What the part is for every agent of the class ``kind``."""
        agents = self.classes[kind]
        if not agents:
            return _of_nobody(kind, part)
        number = self.numbers[part]
        said = [self.said[agent, action] for agent in agents]
        if any(number in each.failing for each in said):
            return "fails"
        holding = sum(number in each.holding for each in said)
        return "true" if holding == len(said) else "mixed" if holding else "false"

    def differing(self, kind: str, action: str, part: pst.Expr) -> tuple[str, ...]:
        """Names of the agents of the class for which the part isn't true."""
        number = self.numbers[part]
        return tuple(
            agent.id for agent in self.classes[kind] if number not in self.said[agent, action].holding
        )  # fmt: skip


def is_ground(expr: pst.Expr) -> bool:
    """Whether the expression reads neither what the action is done to, nor a call."""
    return not any(isinstance(part, pst.Var) and part.name in ("resource", "context") for part in walk(expr))


def ground(parts: Iterable[pst.Expr], classes: Mapping[str, tuple[Uid, ...]], world: World, schema: Schema) -> Ground:
    """Ask about each of ``parts`` for every agent of ``classes``."""
    numbers = {part: number for number, part in enumerate(dict.fromkeys(parts))}
    trees = {str(number): alone(str(number), part) for part, number in numbers.items()}
    policies = PolicySet.from_pst(policy_set(trees))
    agents = sorted({agent for members in classes.values() for agent in members})
    entities = load(world, world.registered, schema)
    said: dict[tuple[Uid, str], _Said] = {}
    moving = any(isinstance(each, pst.Var) and each.name == "action" for part in numbers for each in walk(part))
    for agent in agents:
        asked = [
            _ask(agent, action, policies, entities, numbers.values())
            for action in (RESOURCE_OF if moving else ("readFile",))
        ]
        for action, found in zip(RESOURCE_OF, asked if moving else asked * len(RESOURCE_OF), strict=True):
            said[agent, action] = found
    return Ground(numbers, said, classes)


def _ask(agent: Uid, action: str, policies: PolicySet, entities: Entities, every: Iterable[int]) -> _Said:
    request = {
        "principal": {"type": agent.type, "id": agent.id},
        "action": {"type": "Action", "id": action},
        "resource": {"type": RESOURCE_OF[action], "id": ""},
        "context": json.dumps({}),
    }
    found = is_authorized(request, policies, entities).diagnostics
    culprits = failing(found.errors)
    # What can't be told of one part is not known of any: each counts as failing.
    lost = frozenset(every) if culprits is None else frozenset(map(int, culprits))
    return _Said(frozenset(map(int, found.reasons)), lost)


def _of_nobody(kind: str, part: pst.Expr) -> Answer:
    """Of a class that no registered agent is in: whoever runs in it is an agent, in this class and no other."""
    match part:
        case pst.BoolLit(value=value):
            return "true" if value else "false"
        case pst.Is(base=pst.Var(name="principal"), entity_type=entity_type, in_expr=in_expr):
            if str(entity_type) != "Agent":
                return "false"
            return "true" if in_expr is None else _of_nobody(kind, pst.BinaryOp("in", part.base, in_expr))
        case pst.BinaryOp(op="in", left=pst.Var(name="principal"), right=pst.EntityLit(value=uid)):
            if str(uid.type) in ("AgentClass", "Agent"):
                return "true" if uid_of(uid) == Uid("AgentClass", kind) else "false"
        case pst.BinaryOp(op="eq", left=pst.Var(name="principal"), right=pst.EntityLit()):
            return "false"
    return "unknown"


def members(classes: Sequence[str], world: World) -> Mapping[str, tuple[Uid, ...]]:
    """The registered agents of each class."""
    agents = sorted(uid for uid in world.registered if uid.type == "Agent")
    return {
        kind: tuple(agent for agent in agents if Uid("AgentClass", kind) in world.ancestors(agent)) for kind in classes
    }
