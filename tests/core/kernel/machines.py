"""A registry with classes and destinations, policies from text, and Cedar's own answer on one request."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from cedarpy import Entities, PolicySet, Schema, is_authorized

from gateway.core.kernel.actions import RESOURCE_OF, KernelPolicy
from gateway.core.kernel.asked import may_bind, may_connect, may_use
from gateway.core.kernel.compile import Compilation, Source, compile_rules
from gateway.core.kernel.rules import ClassRules
from gateway.core.model import SpiffeId
from gateway.core.policy.entities import World, actions, registered
from gateway.core.policy.rule import parse_one, policy_set
from gateway.core.policy.source import PolicySource, Statement, statements
from gateway.core.registry import Agent, AgentClass, Destination, Person, Registry

ROOT = Path(__file__).parents[3]
SCHEMA = Schema.from_str((ROOT / "schemas/gateway.cedarschema").read_text())
ACTIONS = actions(SCHEMA)
GROUPS = ",".join(entity.text() for entity in ACTIONS.values())
DIGEST = f"sha256:{'0' * 64}"
OWNER = Person(id="corp|maria", issuer="https://login.example", subject="maria", name="Maria", groups=("staff",))


def agent(name: str, *classes: str, **facts: Any) -> Agent:
    base: dict[str, Any] = {"risk_level": "low", "environment": "production", "team": "finance"} | facts
    return Agent(
        name=name,
        spiffe_id=SpiffeId(f"spiffe://example.test/agent/{name}"),
        owner=OWNER.id,
        purpose="tests",
        classes=classes,
        **base,
    )


def registry(
    agents: Sequence[Agent] = (), destinations: Sequence[Destination] = (), classes: Sequence[AgentClass] = ()
) -> Registry:
    return Registry(
        people={OWNER.id: OWNER},
        agents={each.name: each for each in agents},
        servers={},
        models={},
        teams=frozenset({"finance", "platform"}),
        by_spiffe_id={each.spiffe_id: each.name for each in agents},
        by_audience={},
        classes={each.name: each for each in classes},
        destinations={each.name: each for each in destinations},
    )


def policies(text: str, tier: str = "kernel") -> tuple[KernelPolicy, ...]:
    """The policies of one file; those without an ``@id`` are ``p0``, ``p1`` and so on."""
    found = statements(PolicySource(f"{tier}/a.cedar", text))
    assert isinstance(found, tuple), found
    return tuple(_policy(number, statement, tier) for number, statement in enumerate(found))


def _policy(number: int, statement: Statement, tier: str) -> KernelPolicy:
    tree = parse_one(statement)
    name = tree.annotations.get("id", f"p{number}")
    return KernelPolicy(name, tier, statement, replace(tree, id=name))


def compiled(
    text: str | Sequence[KernelPolicy], known: Registry | None = None, generation: int = 1, node: str = "node-1"
) -> Compilation:
    """Compiled for agents ``ann`` and ``ben`` of class ``a``, unless another registry is given."""
    known = known or registry([agent("ann", "a"), agent("ben", "a")])
    found = policies(text) if isinstance(text, str) else tuple(text)
    world = World({**registered(known), **ACTIONS})
    return compile_rules(Source(found, DIGEST, known, world, SCHEMA), generation, node)


def rules(text: str | Sequence[KernelPolicy], known: Registry | None = None, kind: str = "a") -> ClassRules:
    """The rules of one class."""
    return next(each for each in compiled(text, known).rules.classes if each.name == kind)


class Cedar:
    """Cedar asked in the plainest way."""

    def __init__(self, found: Sequence[KernelPolicy], known: Registry) -> None:
        self._policies = PolicySet.from_pst(policy_set({each.id: each.tree for each in found}))
        self._known = known
        self._entities = ",".join([*(entity.text() for entity in registered(known).values()), GROUPS])

    def allows(self, name: str, action: str, resource: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
        """Whether the agent of this name may do ``action``; ``resource`` are the attributes of what it is done to."""
        uid = {"type": RESOURCE_OF[action], "id": str(next(iter(resource.values())))}
        entity = {"uid": uid, "attrs": dict(resource), "parents": self._sets(resource)}
        request = {
            "principal": {"type": "Agent", "id": name},
            "action": {"type": "Action", "id": action},
            "resource": uid,
            "context": json.dumps(dict(context)),
        }
        handle = Entities.from_json_str(f"[{self._entities},{json.dumps(entity)}]")
        return is_authorized(request, self._policies, handle).allowed

    def _sets(self, resource: Mapping[str, Any]) -> list[dict[str, str]]:
        if "host" not in resource:
            return []
        found = [each for each in self._known.destinations.values() if _under(each, resource)]
        return [{"type": "DestinationSet", "id": name} for name in sorted({s for each in found for s in each.sets})]


def kernel_allows(found: ClassRules, action: str, resource: Mapping[str, Any]) -> bool | None:
    """What the rules say; None where nothing is filtered."""
    if action == "connectNetwork":
        return may_connect(found, resource["host"], resource["port"], resource["protocol"])
    if action == "bindNetwork":
        return may_bind(found, resource["host"], resource["port"], resource["protocol"])
    if action == "systemCall":
        return None if found.system_calls is None else resource["name"] in found.system_calls.allowed
    if action == "spawnProcess":
        return found.spawn
    return may_use(found, action, resource["path"].encode())


def _under(entry: Destination, resource: Mapping[str, Any]) -> bool:
    """Written anew, so that the compiler's own reading is compared with something."""
    if entry.port not in (None, resource["port"]) or entry.protocol not in (None, resource["protocol"]):
        return False
    try:
        network, address = ip_network(entry.host), ip_address(resource["host"])
    except ValueError:
        return entry.host == resource["host"]
    return address in network
