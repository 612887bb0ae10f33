"""The actions on an agent's own machine, what each is done to, and which of them a policy's scope takes in."""

from collections.abc import Mapping
from typing import get_args

from cedarpy import pst
from msgspec import Struct

from gateway.core.kernel.rules import EXEC, LIBRARY, READ, WRITE
from gateway.core.model import Effect, Tier, Uid
from gateway.core.policy.entities import World
from gateway.core.policy.source import Statement
from gateway.core.policy.syntax import uid_of

RESOURCE_OF: Mapping[str, str] = {
    "readFile": "FilePath",
    "writeFile": "FilePath",
    "execFile": "Executable",
    "loadLibrary": "Library",
    "spawnProcess": "Executable",
    "connectNetwork": "NetworkDestination",
    "bindNetwork": "NetworkDestination",
    "systemCall": "SystemCall",
}
"""Action → the type of what it is done to. A file's entity is named by its path, a system call's by its name."""
ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "FilePath": frozenset({"path"}),
    "Executable": frozenset({"path"}),
    "Library": frozenset({"path"}),
    "NetworkDestination": frozenset({"host", "port", "protocol"}),
    "SystemCall": frozenset({"name"}),
}
MASK_OF: Mapping[str, int] = {"readFile": READ, "writeFile": WRITE, "execFile": EXEC, "loadLibrary": LIBRARY}
NETWORK = ("connectNetwork", "bindNetwork")
FOLDER = "kernel"
KERNEL = Uid("Action", "kernel")


class KernelPolicy(Struct, frozen=True, eq=False):
    """A policy that is about agents' machines, by its place and its tree."""

    id: str
    tier: str
    """``kernel``, or the tier of the gateway's policies that it is one of."""
    statement: Statement
    tree: pst.Template

    @property
    def effect(self) -> Effect:
        """``permit`` or ``forbid``."""
        return self.tree.effect

    def takes_in(self, action: str, world: World) -> bool:
        """Whether the scope takes in the action, by its name, a group of actions, or as any."""
        uid = Uid("Action", action)
        named = _named(self.tree.action)
        return named is None or not named.isdisjoint(world.ancestors(uid) | {uid})

    def names(self, action: str) -> bool:
        """Whether the scope says that it is about this action of the machine, by its name or ``Action::"kernel"``."""
        named = _named(self.tree.action)
        return named is not None and not named.isdisjoint({Uid("Action", action), KERNEL})


def is_gateways(tier: str) -> bool:
    """Whether policies of the tier are the gateway's, which are about calls too."""
    return tier in get_args(Tier)


def _named(scope: pst.ActionConstraint) -> frozenset[Uid] | None:
    match scope:
        case pst.ActionEq(entity=entity):
            return frozenset({uid_of(entity)})
        case pst.ActionIn(entities=entities):
            return frozenset(map(uid_of, entities))
    return None
