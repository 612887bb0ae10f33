"""What a decision was made from, in pieces that many decisions share, kept so that others can be tried.

A piece is an agent with its owner, a user, a tool with its server, a server with all it lists, or the policies in
force: what policies can read, and nothing that is secret or only about connections. Argument values are never in one.
A piece is named by the SHA-256 of its text; writing it once is the caller's.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping

import msgspec
from cedarpy import pst
from msgspec import Struct, structs

from gateway.core.model import Hop, SpiffeId, Uid, User
from gateway.core.policy.argtypes import tool_record
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.case import consulted
from gateway.core.policy.staged_rules import revision
from gateway.core.policy.syntax import uid_of
from gateway.core.recent import Recent
from gateway.core.registry import Agent, LiveMode, Person, Registry, Resources, RiskLevel, Server, Status, Tool

MOST_CHARS = 262_144
"""Of one piece. A decision that needs a longer one, a server of some 500 tools, keeps none and isn't replayed."""
REMEMBERED = 4_096
"""Pieces whose text isn't written anew for each decision."""


class KeptAgent(Struct, frozen=True, kw_only=True):
    """What policies, and the rules of live ancestry, can read of an agent."""

    name: str
    spiffe_id: SpiffeId
    owner: str
    team: str
    purpose: str
    capabilities: tuple[str, ...]
    risk_level: RiskLevel
    environment: str
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    entry_point: bool
    live_ancestry: LiveMode
    status: Status
    tags: Mapping[str, str]


class KeptServer(Struct, frozen=True, kw_only=True):
    """What policies can read of a server, its tools and its resources."""

    name: str
    team: str
    environment: str
    sets: tuple[str, ...]
    tools: Mapping[str, Tool] = {}
    resources: Mapping[str, Resources] = {}


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One piece."""

    agent: KeptAgent | None = None
    owner: Person | None = None
    user: User | None = None
    """As its token said."""
    person: Person | None = None
    """As the registry knew the user."""
    server: KeptServer | None = None
    types: Mapping[str, str] = {}
    """By tool: a digest of its argument types."""
    policies: Mapping[str, str] = {}
    """By id: the revision of the policies that were enforced."""


class Piece(Struct, frozen=True):
    """The text of a ``Kept`` and its name."""

    digest: str
    document: bytes


class Keeper:
    """Takes the pieces of hops, remembering those that were written before."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._pieces = Recent[object, tuple[object, Piece]](most)
        self._named: tuple[Bundle | None, tuple[Uid, ...]] = (None, ())

    def pieces(self, hop: Hop, bundle: Bundle) -> tuple[Piece, ...]:
        """All that the hop was decided from but its call and chain; none where one of them is too long."""
        found: dict[str, Piece] = {}
        for piece in self._all(hop, bundle):
            if len(piece.document) > MOST_CHARS:
                return ()
            found[piece.digest] = piece
        return tuple(found.values())

    def _all(self, hop: Hop, bundle: Bundle) -> Iterator[Piece]:
        registry = bundle.registry
        yield self._piece("policies", bundle.rules, lambda: Kept(policies=_revisions(bundle)))
        for name in hop.chain.agents:
            yield from self._agent(name, registry)
        if hop.asking is not None:
            yield from self._server(hop.asking, registry)
        user = hop.user
        if user is not None:
            person = registry.people.get(user.sub)
            yield self._piece(user, person, lambda: Kept(user=user, person=person))
        for action, resource in ((hop.call.action, hop.call.resource), *hop.call.also):
            yield from self._of(resource, registry)
            if resource.type == "McpServer" and consulted(action, resource):
                yield from self._server(resource.id, registry, whole=True)
        for origin in hop.call.origins.values():
            yield from self._of(origin, registry)
        if self._named[0] is not bundle:
            self._named = (bundle, literals(bundle))
        for uid in self._named[1]:
            yield from self._of(uid, registry)

    def _of(self, uid: Uid, registry: Registry) -> Iterator[Piece]:
        name, _, item = uid.id.partition("/")
        if uid.type == "Agent":
            yield from self._agent(uid.id, registry)
        elif uid.type == "User":
            person = registry.people.get(uid.id)
            yield self._piece(uid, person, lambda: Kept(person=person))
        elif uid.type == "Tool":
            yield from self._tool(name, item, registry)
        elif uid.type in ("McpServer", "McpResource", "Prompt", "McpTask"):
            yield from self._server(name, registry)

    def _agent(self, name: str, registry: Registry) -> Iterator[Piece]:
        agent = registry.agents.get(name)
        if agent is not None:
            owner = registry.people.get(agent.owner)
            yield self._piece(("agent", name, owner), agent, lambda: Kept(agent=_read_of(agent), owner=owner))

    def _tool(self, name: str, item: str, registry: Registry) -> Iterator[Piece]:
        server, tool = registry.servers.get(name), registry.tool(name, item)
        if server is not None and tool is not None:
            yield self._piece(("tool", name, item), server, lambda: _server_piece(server, {item: tool}))
        else:
            yield from self._server(name, registry)

    def _server(self, name: str, registry: Registry, *, whole: bool = False) -> Iterator[Piece]:
        server = registry.servers.get(name)
        if server is not None:
            key = ("server", name, whole)
            yield self._piece(key, server, lambda: _server_piece(server, server.tools if whole else {}))

    def _piece(self, key: object, source: object, make: Callable[[], Kept]) -> Piece:
        """``source`` is what the piece is of: another object is another generation's."""
        known = self._pieces.get(key)
        if known is not None and known[0] is source:
            return known[1]
        document = msgspec.json.encode(make(), order="sorted")
        piece = Piece(hashlib.sha256(document).hexdigest(), document)
        self._pieces.put(key, (source, piece))
        return piece


def literals(bundle: Bundle) -> tuple[Uid, ...]:
    """The entities, besides a call's own, that some policy looks into by name."""
    found = {uid_of(expr.value) for expr in bundle.reads.dereferenced if isinstance(expr, pst.EntityLit)}
    return tuple(sorted(uid for uid in found if uid.type != "Action"))


def types_of(tool: Tool) -> str:
    """A digest of a tool's argument types."""
    return hashlib.sha256(msgspec.json.encode(tool_record(tool), order="deterministic")).hexdigest()[:16]


def _revisions(bundle: Bundle) -> dict[str, str]:
    return {rule.id: revision(rule.statement.text) for rule in bundle.rules.values()}


def _read_of(agent: Agent) -> KeptAgent:
    return KeptAgent(**{name: getattr(agent, name) for name in KeptAgent.__struct_fields__})


def _server_piece(server: Server, tools: Mapping[str, Tool]) -> Kept:
    """Patterns of resources are always there: they say in which sets a resource is."""
    without = {"scopes": (), "input_schema": None, "approved_schema": None, "pin": None}
    bare = {name: structs.replace(tool, **without) for name, tool in tools.items()}
    resources = {name: structs.replace(entry, scopes=()) for name, entry in server.resources.items()}
    kept = KeptServer(
        name=server.name,
        team=server.team,
        environment=server.environment,
        sets=server.sets,
        tools=bare,
        resources=resources,
    )
    return Kept(server=kept, types={name: types_of(tool) for name, tool in tools.items()})
