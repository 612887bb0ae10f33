"""The registry: who and what is governed, by attributes. Facts only; built from YAML by ``config.resources``.

Doesn't resolve secrets, read files, or decide anything.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from gateway.core.model import Route, SpiffeId, Uid, Way
from gateway.core.third_party import ThirdParty

RiskLevel = Literal["low", "medium", "high"]
Status = Literal["active", "suspended"]
Transport = Literal["tcp", "udp"]
LiveMode = Literal["raise", "deny", "observe"]
Needs = Mapping[str, tuple[str, ...]]
"""Cedar action → the scopes that it needs."""
RISK: dict[RiskLevel, int] = {"low": 1, "medium": 2, "high": 3}


class Person(Struct, frozen=True):
    """An accountable person; ``id`` is ``<idp>|<subject>``."""

    id: str
    issuer: str
    subject: str
    name: str
    email: str | None = None
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    team: str | None = None


class Upstream(Struct, frozen=True):
    """Where a route forwards to. With ``https`` either ``spiffe_id`` or ``third_party`` is set.

    Plain ``http`` is for loopback only.
    """

    url: str
    spiffe_id: SpiffeId | None
    audience: str | None = None
    card_key: Mapping[str, Any] | None = None
    """Public JWK that an agent's own card must be signed with (A2A 1.0 §8.4)."""
    gateway: str | None = None
    """Name of the peer gateway whose route this is; ``spiffe_id`` is then the gateway's."""
    third_party: ThirdParty | None = None


class Agent(Struct, frozen=True, kw_only=True):
    """A registered agent, its accountable owner and its attributes."""

    name: str
    spiffe_id: SpiffeId
    owner: str
    """``Person.id``."""
    team: str
    purpose: str
    capabilities: tuple[str, ...] = ()
    risk_level: RiskLevel
    environment: str
    groups: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    """What the agent was granted at registration; every chain through it is cut to this."""
    entry_point: bool = False
    clients: tuple[str, ...] = ()
    """OAuth client ids whose root tokens it may begin a chain with."""
    live_ancestry: LiveMode = "raise"
    """What becomes of a chain that it begins while it works in another one (``core.ancestry``)."""
    status: Status = "active"
    continuation: frozenset[Way] = frozenset({"header", "exchange"})
    """In which ways it may continue a chain; ``trace`` only for one that nobody but the gateway reaches."""
    tags: Mapping[str, str] = {}
    upstream: Upstream | None = None
    """Set where the agent is callable through ``/a2a/<name>``."""
    needs: Needs = {}
    """What calls of it need; ``<name>/delegate`` where nothing is said."""
    ceiling: tuple[str, ...] | None = None
    """All that a chain may still use once it has passed to the agent; None: what the agent was granted."""

    @property
    def uid(self) -> Uid:
        """``Agent::"<name>"``."""
        return Uid("Agent", self.name)


class Tool(Struct, frozen=True, kw_only=True):
    """A registered tool of a server. Only registered tools are listed or callable."""

    server: str
    name: str
    risk_level: RiskLevel
    environment: str
    read_only: bool = False
    destructive: bool = True
    open_world: bool = True
    capabilities: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    scopes: tuple[str, ...]
    """Scopes that a call needs; ``<server>/<tool>`` by default."""
    input_schema: Mapping[str, Any] | None = None
    """The JSON Schema of its arguments that people registered: the source of Cedar argument types where it is given."""
    approved_schema: Mapping[str, Any] | None = None
    """That of its approved definition (``core.pins``): their source otherwise. Nothing else is one."""
    sensitive: tuple[str, ...] = ()
    """Argument names whose values are recorded as a keyed digest only."""
    pin: str | None = None
    """``sha256:<hex>`` of the only definition that its server may list (``core.pins``); None: the stored one counts."""

    @property
    def uid(self) -> Uid:
        """``Tool::"<server>/<name>"``."""
        return Uid("Tool", f"{self.server}/{self.name}")


class Resources(Struct, frozen=True, kw_only=True):
    """Resources of a server that are registered together: one URI, or all that begin alike."""

    server: str
    pattern: str
    """A URI; a ``*`` at its end stands for anything."""
    sets: tuple[str, ...] = ()
    scopes: tuple[str, ...]
    """Scopes that reading one of them needs; ``<server>/resources/read`` by default."""

    @property
    def uid(self) -> Uid:
        """``McpResource::"<server>/<pattern>"``."""
        return Uid("McpResource", f"{self.server}/{self.pattern}")

    def cover(self, uri: str) -> bool:
        """Whether ``uri`` is one of them."""
        return _covers(self.pattern, uri)


class Prompts(Struct, frozen=True, kw_only=True):
    """Prompts of a server that are registered together: one name, or all that begin alike."""

    server: str
    pattern: str
    """A name; a ``*`` at its end stands for anything."""
    scopes: tuple[str, ...]
    """Scopes that getting one of them needs."""

    def cover(self, name: str) -> bool:
        """Whether the prompt ``name`` is one of them."""
        return _covers(self.pattern, name)


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


class Server(Struct, frozen=True, kw_only=True):
    """A registered MCP server, its tools by name, and what is known of its resources by pattern."""

    name: str
    team: str
    environment: str
    sets: tuple[str, ...] = ()
    upstream: Upstream
    tools: Mapping[str, Tool] = {}
    resources: Mapping[str, Resources] = {}
    prompts: Mapping[str, Prompts] = {}
    needs: Needs = {}
    """What operations need where no tool, resource or prompt says it."""

    @property
    def uid(self) -> Uid:
        """``McpServer::"<name>"``."""
        return Uid("McpServer", self.name)

    def registered_for(self, uri: str) -> tuple[Resources, ...]:
        """The entries that ``uri`` falls under: all of them hold for it."""
        return tuple(entry for entry in self.resources.values() if entry.cover(uri))

    def prompts_for(self, name: str) -> tuple[Prompts, ...]:
        """The entries that the prompt ``name`` falls under: all of them hold for it."""
        return tuple(entry for entry in self.prompts.values() if entry.cover(name))


class Model(Struct, frozen=True, kw_only=True):
    """A registered model of a provider."""

    name: str
    provider: str
    sets: tuple[str, ...] = ()

    @property
    def uid(self) -> Uid:
        """``Model::"<provider>/<name>"``."""
        return Uid("Model", f"{self.provider}/{self.name}")


class AgentClass(Struct, frozen=True, kw_only=True):
    """How the kernel treats a class of agents (``core.kernel``)."""

    name: str
    audit: bool = False
    """What policies deny is let through and reported."""
    hide: bool = False
    """A denied file doesn't exist for the class."""

    @property
    def uid(self) -> Uid:
        """``AgentClass::"<name>"``."""
        return Uid("AgentClass", self.name)


class Destination(Struct, frozen=True, kw_only=True):
    """Where agents may connect to, or listen: every connection that falls under it is in its sets."""

    name: str
    host: str
    """A name in lower case, an address, or a network like ``10.0.0.0/8``."""
    port: int | None = None
    """None: any."""
    protocol: Transport | None = None
    sets: tuple[str, ...] = ()


class Registry(Struct, frozen=True, kw_only=True):
    """All that is registered, by name, with the look-ups a hop needs."""

    people: Mapping[str, Person]
    agents: Mapping[str, Agent]
    servers: Mapping[str, Server]
    models: Mapping[str, Model]
    teams: frozenset[str]
    by_spiffe_id: Mapping[str, str]
    """SPIFFE ID → agent name."""
    by_audience: Mapping[str, str]
    """Audience of hop tokens → agent name, for agents that have an upstream."""
    classes: Mapping[str, AgentClass] = {}
    """Those of which more is said than who is in them."""
    destinations: Mapping[str, Destination] = {}

    def agent_of(self, spiffe_id: str) -> Agent | None:
        """The agent registered for ``spiffe_id``, active or not."""
        name = self.by_spiffe_id.get(spiffe_id)
        return None if name is None else self.agents[name]

    def tool(self, server: str, name: str) -> Tool | None:
        """The registered tool, or None."""
        owner = self.servers.get(server)
        return None if owner is None else owner.tools.get(name)

    def upstream_of(self, route: Route) -> Upstream | None:
        """Where ``route`` forwards to, or None if what it names isn't registered (any more)."""
        owner = self.servers.get(route.name) if route.protocol == "mcp" else self.agents.get(route.name)
        return None if owner is None else owner.upstream
