"""The registry as Cedar entities, and the entities that one call can reach.

A call is decided on exactly what it reaches: its own entities and the bundle's literals, everything
their attributes name, and all ancestors. An entity that isn't registered stays absent; whether that
matters is decided in ``facts``.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from cedarpy import Entities, Schema
from msgspec import Struct

from gateway.core.model import Uid, User
from gateway.core.policy.values import Value, encode
from gateway.core.recent import Recent
from gateway.core.registry import RISK, Agent, Model, Person, Registry, Server, Tool

_BARE = frozenset({"Group", "Team", "AgentClass", "ToolSet", "ServerSet", "ResourceSet", "ModelSet", "DestinationSet"})
"""Entity types without attributes: a name is all there is to them."""
MOST_HANDLES = 256
"""Each holds some ten entities and the schema's actions."""
MOST_LINEAGES = 8192
"""Entities whose ancestors are remembered: half a kilobyte each."""


class Entity(Struct, frozen=True):
    """A Cedar entity: attributes, direct parents and tags."""

    uid: Uid
    attrs: Mapping[str, Value] = MappingProxyType({})
    parents: tuple[Uid, ...] = ()
    tags: Mapping[str, str] = MappingProxyType({})

    def text(self) -> str:
        """The entity in Cedar's JSON form."""
        document: dict[str, Any] = {
            "uid": {"type": self.uid.type, "id": self.uid.id},
            "attrs": encode(self.attrs),
            "parents": [{"type": parent.type, "id": parent.id} for parent in self.parents],
        }
        return json.dumps({**document, "tags": dict(self.tags)} if self.tags else document)

    def named(self) -> Iterator[Uid]:
        """Every entity that its parents and attributes name."""
        yield from self.parents
        for value in self.attrs.values():
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Uid):
                    yield item


class World(Struct, frozen=True):
    """The entities known to one call: the registry's, and those its token brings, which win."""

    registered: Mapping[Uid, Entity]
    texts: Mapping[Uid, str] = MappingProxyType({})
    """The registered entities in Cedar's JSON form, where they were written once for many calls."""
    brought: Mapping[Uid, Entity] = MappingProxyType({})
    lineages: Recent[Uid, frozenset[Uid]] | None = None
    """Ancestors of registered entities, which nothing that is brought changes: none of it is anybody's parent."""

    def get(self, uid: Uid) -> Entity | None:
        """The entity, or None where nobody registered or brought it."""
        return self.brought.get(uid) or self.registered.get(uid)

    def text(self, entity: Entity) -> str:
        """The entity in Cedar's JSON form."""
        known = None if entity.uid in self.brought else self.texts.get(entity.uid)
        return entity.text() if known is None else known

    def bringing(self, brought: Mapping[Uid, Entity]) -> "World":
        """This world with the entities that a call's token brings."""
        return World(self.registered, self.texts, brought, self.lineages)

    def also(self, entity: Entity) -> "World":
        """This world with one entity more, unless it is known already."""
        return self if self.get(entity.uid) is not None else self.bringing({**self.brought, entity.uid: entity})

    def ancestors(self, uid: Uid) -> frozenset[Uid]:
        """All it is ``in``, itself included."""
        if self.lineages is None or uid in self.brought:
            return self._ancestors(uid)
        known = self.lineages.get(uid)
        if known is None:
            known = self._ancestors(uid)
            self.lineages.put(uid, known)
        return known

    def _ancestors(self, uid: Uid) -> frozenset[Uid]:
        return frozenset(self._reached((uid,), lambda entity: iter(entity.parents)))

    def closure(self, roots: Iterable[Uid]) -> dict[Uid, Entity]:
        """The known entities that the roots reach by parents and attributes."""
        reached = self._reached(roots, Entity.named)
        return {uid: entity for uid in reached if (entity := self.get(uid)) is not None}

    def _reached(self, roots: Iterable[Uid], following: Callable[[Entity], Iterator[Uid]]) -> set[Uid]:
        seen: set[Uid] = set()
        waiting = list(roots)
        while waiting:
            uid = waiting.pop()
            if uid in seen:
                continue
            seen.add(uid)
            entity = self.get(uid)
            if entity is not None:
                waiting.extend(following(entity))
        return seen


def registered(registry: Registry) -> dict[Uid, Entity]:
    """All entities of a registry, with every group, team, class and set that one of them names."""
    found = [
        *map(person, registry.people.values()),
        *map(_agent, registry.agents.values()),
        *map(_server, registry.servers.values()),
        *(_tool(tool, server) for server in registry.servers.values() for tool in server.tools.values()),
        *(_content(entry.uid, server) for server in registry.servers.values() for entry in server.resources.values()),
        *map(_model, registry.models.values()),
        *(Entity(Uid("Team", team)) for team in registry.teams),
        *(Entity(kind.uid) for kind in registry.classes.values()),
        *bare(Uid("DestinationSet", each) for entry in registry.destinations.values() for each in entry.sets).values(),
    ]
    table = {entity.uid: entity for entity in found}
    return {**bare(uid for entity in found for uid in entity.parents), **table}


def bare(uids: Iterable[Uid]) -> dict[Uid, Entity]:
    """Entities for those of the uids that are names only: groups, teams, classes, sets."""
    return {uid: Entity(uid) for uid in uids if uid.type in _BARE}


def person(who: Person) -> Entity:
    """A registered person as a Cedar ``User``."""
    team = () if who.team is None else (Uid("Team", who.team),)
    email = {} if who.email is None else {"email": who.email}
    return Entity(
        Uid("User", who.id),
        {"issuer": who.issuer, "subject": who.subject, "roles": who.roles, **email},
        (*(Uid("Group", group) for group in who.groups), *team),
    )


def user(token_user: User, known: Person | None) -> Entity:
    """The person of a verified token. Its attributes win over the registered ones; groups are those of both."""
    email = token_user.email or (known.email if known else None)
    return person(
        Person(
            id=token_user.sub,
            issuer=token_user.issuer,
            subject=token_user.subject,
            name=known.name if known else token_user.sub,
            email=email,
            roles=token_user.roles,
            groups=tuple(dict.fromkeys((*token_user.groups, *(known.groups if known else ())))),
            team=known.team if known else None,
        )
    )


def _agent(agent: Agent) -> Entity:
    return Entity(
        agent.uid,
        {
            "spiffe_id": str(agent.spiffe_id),
            "owner": Uid("User", agent.owner),
            "team": Uid("Team", agent.team),
            "purpose": agent.purpose,
            "capabilities": agent.capabilities,
            "risk_level": agent.risk_level,
            "risk": RISK[agent.risk_level],
            "environment": agent.environment,
            "trust_domain": agent.spiffe_id.removeprefix("spiffe://").partition("/")[0],
            "status": agent.status,
            "entry_point": agent.entry_point,
        },
        (
            *(Uid("Group", group) for group in agent.groups),
            *(Uid("AgentClass", kind) for kind in agent.classes),
            Uid("Team", agent.team),
        ),
        agent.tags,
    )


def _server(server: Server) -> Entity:
    sets = (Uid("ServerSet", name) for name in server.sets)
    return Entity(
        server.uid, {"name": server.name, "environment": server.environment}, (*sets, Uid("Team", server.team))
    )


def _tool(tool: Tool, server: Server) -> Entity:
    return Entity(
        tool.uid,
        {
            "name": tool.name,
            "server": server.uid,
            "risk_level": tool.risk_level,
            "risk": RISK[tool.risk_level],
            "read_only": tool.read_only,
            "destructive": tool.destructive,
            "open_world": tool.open_world,
            "capabilities": tool.capabilities,
            "environment": tool.environment,
        },
        (server.uid, *(Uid("ToolSet", name) for name in tool.sets), Uid("Team", server.team)),
    )


def offered(uid: Uid, registry: Registry) -> Entity | None:
    """A resource or prompt of a registered server; None for anything else.

    They come and go at their server, so none has to be registered: they are governed by server, team, URI and name,
    and by the sets of the registered patterns that a URI falls under.
    """
    server = registry.servers.get(uid.id.partition("/")[0])
    return None if server is None or uid.type not in ("McpResource", "Prompt") else _content(uid, server)


def task(uid: Uid, origin: Uid, registry: Registry) -> Entity | None:
    """A task that the tool ``origin`` made: within the tool, and all that the tool is in; None for any other."""
    server, _, name = origin.id.partition("/")
    tool = registry.tool(server, name) if origin.type == "Tool" else None
    if tool is None or uid.type != "McpTask" or not uid.id.startswith(f"{server}/"):
        return None
    return Entity(uid, parents=(origin, Uid("McpServer", server), Uid("Team", registry.servers[server].team)))


def _content(uid: Uid, server: Server) -> Entity:
    target = uid.id.partition("/")[2]
    around = (server.uid, Uid("Team", server.team))
    if uid.type == "Prompt":
        return Entity(uid, {"name": target}, around)
    sets = dict.fromkeys(each for entry in server.registered_for(target) for each in entry.sets)
    return Entity(uid, {"uri": target}, (*around, *(Uid("ResourceSet", each) for each in sets)))


def _model(model: Model) -> Entity:
    return Entity(
        model.uid,
        {"provider": model.provider, "name": model.name},
        tuple(Uid("ModelSet", name) for name in model.sets),
    )


def actions(schema: Schema) -> dict[Uid, Entity]:
    """The schema's actions with the groups they are in."""
    documents = json.loads(str(Entities.from_json_str("[]", schema)))
    found = (
        Entity(
            Uid(**document["uid"]), parents=tuple(Uid(parent["type"], parent["id"]) for parent in document["parents"])
        )
        for document in documents
    )
    return {entity.uid: entity for entity in found}


def load(world: World, roots: Iterable[Uid], schema: Schema) -> Entities:
    """A handle that holds all the roots reach; actions are the schema's own.

    Parsing these few afresh costs half of adding them to a parsed base, which is copied with every action.

    Raises:
        ValueError: an entity does not fit the schema.
    """
    return Entities.from_json_str(_document(world, roots), schema)


class Handles:
    """``load`` under one schema, remembering handles by the exact text they were parsed from.

    The calls of one caller reach the same entities, and parsing them costs more than deciding.
    """

    def __init__(self, schema: Schema, most: int = MOST_HANDLES) -> None:
        self._schema = schema
        self._parsed = Recent[str, Entities](most)

    def load(self, world: World, roots: Iterable[Uid]) -> Entities:
        """A handle that holds all the roots reach.

        Raises:
            ValueError: an entity does not fit the schema.
        """
        document = _document(world, roots)
        handle = self._parsed.get(document)
        if handle is None:
            handle = Entities.from_json_str(document, self._schema)
            self._parsed.put(document, handle)
        return handle


def _document(world: World, roots: Iterable[Uid]) -> str:
    reached = world.closure(roots)
    texts = [world.text(entity) for entity in reached.values() if entity.uid.type != "Action"]
    return f"[{','.join(texts)}]"
