"""The registry file: people, teams, agents, servers with their tools, and models, as they are written.

These types are the source of ``schemas/registry.schema.json``. ``resources`` turns them into the registry.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from gateway.config.problems import Fault
from gateway.config.rules import is_loopback
from gateway.config.section import Section
from gateway.config.third_party_entries import ApiKeyEntry, OauthEntry
from gateway.config.words import (
    ClassName,
    DestinationHost,
    FilePath,
    Label,
    LoopbackOrHttpsUrl,
    Name,
    PersonId,
    PinDigest,
    PromptPattern,
    ResourcePattern,
    Scope,
    SpiffeIdText,
    WebUrl,
)
from gateway.core.model import Way
from gateway.core.registry import Transport

Labels = tuple[Label, ...]
Team = Annotated[Label, Meta(description="A team listed under `teams`.")]
Environment = Annotated[Label, Meta(description="Where it runs, e.g. `production`; free text that policies compare.")]
Risk = Annotated[Literal["low", "medium", "high"], Meta(description="How much harm it could do.")]
Audience = Annotated[
    WebUrl | None, Meta(description="`aud` of hop tokens for it; its route's resource URI where not set.")
]
Gateway = Annotated[
    Name | None,
    Meta(description="Name of the peer gateway under `federation.peers` whose route `url` is: chains go on there."),
]
ServerOperation = Literal[
    "discover", "notify", "listTools", "invokeTool", "listResources", "readResource", "listPrompts", "getPrompt",
    "complete", "subscribe", "setLogLevel", "getTask", "listTasks", "cancelTask", "updateTask",
]  # fmt: skip
AgentOperation = Literal[
    "delegate", "getTask", "listTasks", "cancelTask", "subscribeTask", "getExtendedCard", "createPushConfig",
    "getPushConfig", "listPushConfigs", "deletePushConfig",
]  # fmt: skip
NeededScopes = Annotated[tuple[Scope, ...], Meta(min_length=1)]
Capabilities = Annotated[Labels, Meta(description="What it can do, in words that policies compare.")]


class PersonEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person who may own agents; its key is `<issuer name>|<subject>`."""

    issuer: Annotated[WebUrl, Meta(description="`iss` of the person's tokens.")]
    name: Annotated[Label, Meta(description="Name as people know it.")]
    email: Annotated[Label | None, Meta(description="E-mail address.")] = None
    roles: Annotated[Labels, Meta(description="Roles, besides those of the person's tokens.")] = ()
    groups: Annotated[Labels, Meta(description="Groups, besides those of the person's tokens.")] = ()
    team: Annotated[Label | None, Meta(description="A team listed under `teams`.")] = None


class AgentUpstream(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an agent is called; over https it must present the agent's own SPIFFE ID."""

    url: Annotated[LoopbackOrHttpsUrl, Meta(description="A2A JSON-RPC endpoint; plain http only on loopback.")]
    audience: Audience = None
    gateway: Gateway = None
    card_key: Annotated[
        Mapping[str, Any] | None,
        Meta(description="Public JWK that must have signed the agent's own card; not verified where not set."),
    ] = None
    needs: Annotated[
        Mapping[AgentOperation, NeededScopes],
        Meta(description="Operation → scopes that it needs; `<agent>/delegate` for those that aren't named."),
    ] = {}
    ceiling: Annotated[
        tuple[Scope, ...] | None,
        Meta(description="All that a chain may still use once it has passed to the agent; its `scopes` where not set."),
    ] = None

    def faults(self) -> Iterable[Fault]:
        """A peer gateway is reached by https."""
        yield from _gateway_faults(self.gateway, self.url)


class ServerUpstream(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a server is called."""

    url: Annotated[LoopbackOrHttpsUrl, Meta(description="MCP Streamable HTTP endpoint; plain http only on loopback.")]
    spiffe_id: Annotated[SpiffeIdText | None, Meta(description="SPIFFE ID it must present; required with https.")] = (
        None
    )
    audience: Audience = None
    gateway: Gateway = None
    tls: Annotated[
        Literal["spiffe", "web"],
        Meta(
            description="`web`: a third party's server, known by its host name's certificate. It gets neither hop "
            "token nor client certificate, but what `oauth` or `credential` say."
        ),
    ] = "spiffe"
    ca_file: Annotated[
        FilePath | None, Meta(description="For `tls: web`: PEM certificates trusted in place of the system's.")
    ] = None
    oauth: Annotated[OauthEntry | None, Meta(description="For `tls: web`: tokens of the third party's own.")] = None
    credential: Annotated[ApiKeyEntry | None, Meta(description="For `tls: web`: a fixed secret in a header.")] = None

    def faults(self) -> Iterable[Fault]:
        """An https upstream is known by its SPIFFE ID, its gateway, or the web's certificates."""
        yield from _gateway_faults(self.gateway, self.url)
        if self.gateway is not None and self.spiffe_id is not None:
            message = "the upstream is the peer gateway, whose SPIFFE ID is in the settings"
            yield Fault(("spiffe_id",), message, "remove spiffe_id, or gateway")
        if self.tls == "web":
            yield from self._web_faults()
            return
        for key in ("ca_file", "oauth", "credential"):
            if getattr(self, key) is not None:
                message = f"{key} is for third-party upstreams, which are known by the web's certificates"
                yield Fault((key,), message, "add tls: web, or remove it")
        if self.url.startswith("https:") and self.spiffe_id is None and self.gateway is None:
            yield Fault(
                ("spiffe_id",),
                "an https upstream needs the SPIFFE ID that it must present",
                "add spiffe_id: spiffe://<trust domain>/<path>, or tls: web for a third party's server",
            )
        if self.spiffe_id is not None and self.url.startswith("http:") and is_loopback(self.url):
            message = "nothing is verified over plain http, so spiffe_id has no effect"
            yield Fault(("spiffe_id",), message, "use https, or remove it", "warning")

    def _web_faults(self) -> Iterable[Fault]:
        if self.gateway is not None:
            yield Fault(
                ("gateway",), "a peer gateway is known by its SPIFFE ID, not by tls: web", "keep one of the two"
            )
        if self.spiffe_id is not None:
            yield Fault(("spiffe_id",), "tls: web and spiffe_id exclude each other", "keep one of the two")
        if self.url.startswith("http:"):
            yield Fault(("tls",), "nothing is verified over plain http", "use an https url, or remove tls: web")
        if self.audience is not None:
            message = "a third party's server gets no hop token, so audience has no effect"
            yield Fault(("audience",), message, "remove it; oauth.resource names the audience of its own tokens")
        if self.oauth is not None and self.credential is not None:
            yield Fault(("credential",), "oauth and credential exclude each other", "keep one of the two")


def _gateway_faults(gateway: str | None, url: str) -> Iterable[Fault]:
    if gateway is not None and not url.startswith("https:"):
        yield Fault(("url",), "a route of a peer gateway is reached by https only", "use its https URL")


class AgentEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent and the person who answers for it."""

    spiffe_id: Annotated[SpiffeIdText, Meta(description="The workload identity that it presents; unique.")]
    owner: Annotated[PersonId, Meta(description="The accountable person, listed under `people`; not a team.")]
    team: Team
    purpose: Annotated[Label, Meta(description="What it is for, in one line.")]
    capabilities: Capabilities = ()
    risk_level: Risk
    environment: Environment
    groups: Annotated[Labels, Meta(description='Groups that policies name: `principal in Group::"…"`.')] = ()
    classes: Annotated[Labels, Meta(description='Agent classes: `principal in AgentClass::"…"`.')] = ()
    scopes: Annotated[
        tuple[Scope, ...], Meta(description="Scopes granted to it; every chain through it is cut to these.")
    ] = ()
    entry_point: Annotated[
        bool, Meta(description="Whether it may begin a chain, with a user's token or without a user.")
    ] = False
    clients: Annotated[Labels, Meta(description="OAuth clients whose user tokens it may begin a chain with.")] = ()
    tags: Annotated[Mapping[Label, Annotated[str, Meta(max_length=256)]], Meta(description="Free labels.")] = {}
    live_ancestry: Annotated[
        Literal["raise", "deny", "observe"],
        Meta(
            description="A chain that it begins while it works in another one of the same user, or without a user: "
            "`raise` shows policies the depth that it may hide, `deny` refuses, `observe` only records."
        ),
    ] = "raise"
    status: Annotated[Literal["active", "suspended"], Meta(description="A suspended agent is refused.")] = "active"
    continuation: Annotated[
        tuple[Way, ...],
        Meta(
            description="How it may continue a chain: `header`, `trace`, `exchange`. `trace` is only for an agent that "
            "nobody but the gateway can reach: whoever else reaches it could hand it a trace of another chain."
        ),
    ] = ("header", "exchange")
    upstream: Annotated[
        AgentUpstream | None, Meta(description="Set where the agent can be called through `/a2a/<agent>`.")
    ] = None

    def faults(self) -> Iterable[Fault]:
        """Clients mean nothing without leave to begin a chain."""
        if self.clients and not self.entry_point:
            message = "clients have no effect on an agent that is no entry point"
            yield Fault(("clients",), message, "set entry_point: true, or remove clients", "warning")
        if "trace" in self.continuation and self.upstream is None:
            message = "an agent without upstream is given no trace to continue by"
            yield Fault(("continuation",), message, "set upstream, or remove trace", "warning")


class ToolEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool; only registered tools are listed and callable."""

    risk_level: Risk
    read_only: Annotated[bool, Meta(description="It changes nothing.")] = False
    destructive: Annotated[
        bool | None, Meta(description="It may destroy something; where not set: unless it is read-only.")
    ] = None
    open_world: Annotated[bool, Meta(description="It reaches beyond its server's own data.")] = True
    capabilities: Capabilities = ()
    sets: Annotated[Labels, Meta(description='Tool sets that policies name: `resource in ToolSet::"…"`.')] = ()
    scopes: Annotated[
        tuple[Scope, ...] | None, Meta(description="Scopes that a call needs; `<server>/<tool>` where not set.")
    ] = None
    input_schema: Annotated[
        Mapping[str, Any] | None,
        Meta(
            description="JSON Schema of the approved arguments: types that policies see come from it, or, where it is "
            "not set, from the approved definition."
        ),
    ] = None
    sensitive: Annotated[Labels, Meta(description="Arguments whose values are recorded as a keyed digest only.")] = ()
    environment: Annotated[Label | None, Meta(description="Where it runs; its server's where not set.")] = None
    pin: Annotated[
        PinDigest | None,
        Meta(
            description="Digest of the only definition that its server may list, as `hopgate tools list` shows it; "
            "another one puts the tool in quarantine."
        ),
    ] = None

    def faults(self) -> Iterable[Fault]:
        """Hints that contradict each other, and a call that would need nothing."""
        if self.read_only and self.destructive:
            yield Fault(("destructive",), "a read-only tool can't be destructive", "keep one of the two")
        if self.scopes == ():
            message = "a call has to need at least one scope: no scope means no token"
            yield Fault(("scopes",), message, "remove the key to need <server>/<tool>")


class ResourcesEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Resources of a server that policies name as a set, or that need scopes of their own."""

    sets: Annotated[Labels, Meta(description='Resource sets that policies name: `resource in ResourceSet::"…"`.')] = ()
    scopes: Annotated[
        tuple[Scope, ...] | None,
        Meta(description="Scopes that reading one needs; `<server>/resources/read` where not set."),
    ] = None

    def faults(self) -> Iterable[Fault]:
        """Reading has to need something."""
        if self.scopes == ():
            message = "reading has to need at least one scope: no scope means no token"
            yield Fault(("scopes",), message, "remove the key to need <server>/resources/read")


class PromptsEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prompts of a server that need scopes of their own."""

    scopes: Annotated[
        NeededScopes | None,
        Meta(description="Scopes that getting one needs; `<server>/prompts/get` where not set."),
    ] = None


class ServerEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An MCP server."""

    team: Team
    environment: Environment
    sets: Annotated[Labels, Meta(description='Server sets that policies name: `resource in ServerSet::"…"`.')] = ()
    upstream: ServerUpstream
    tools: Annotated[Mapping[Name, ToolEntry], Meta(description="Tool name → its attributes.")] = {}
    resources: Annotated[
        Mapping[ResourcePattern, ResourcesEntry],
        Meta(description="URI, or its beginning and `*` → what is known of it. Resources need no entry to be read."),
    ] = {}
    prompts: Annotated[
        Mapping[PromptPattern, PromptsEntry],
        Meta(description="Name, or its beginning and `*` → what is known of it. Prompts need no entry to be got."),
    ] = {}
    needs: Annotated[
        Mapping[ServerOperation, NeededScopes],
        Meta(
            description="Operation → scopes that it needs where no tool, resource or prompt names its own; else the "
            "defaults, and nothing for opening, listing and notifying."
        ),
    ] = {}


class ModelEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of a provider."""

    provider: Annotated[Name, Meta(description="The provider's name.")]
    sets: Annotated[Labels, Meta(description='Model sets that policies name: `resource in ModelSet::"…"`.')] = ()


class ClassEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the kernel treats a class of agents; who is in it is said by `classes` of the agents."""

    audit: Annotated[bool, Meta(description="What policies deny is let through, and reported.")] = False
    hide: Annotated[bool, Meta(description="A denied file doesn't exist for the class: ENOENT in place of EPERM.")] = (
        False
    )


class DestinationEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where agents may connect to or listen; a connection is in the sets of every destination that it falls under."""

    host: Annotated[
        DestinationHost, Meta(description="A name in lower case, an address, or a network like `10.0.0.0/8`.")
    ]
    port: Annotated[int | None, Meta(description="1 to 65535; any where not set.")] = None
    protocol: Annotated[Transport | None, Meta(description="Both where not set.")] = None
    sets: Annotated[
        Labels, Meta(description='Destination sets that policies name: `resource in DestinationSet::"…"`.')
    ] = ()

    def faults(self) -> Iterable[Fault]:
        """A port is one; a destination outside of every set is nobody's."""
        if self.port is not None and not 1 <= self.port <= 65535:
            yield Fault(("port",), f"{self.port} is no port", "write 1 to 65535, or remove it for any")
        if not self.sets:
            message = "policies name destinations by their sets, so without one it has no effect"
            yield Fault(("sets",), message, "add a set, or remove the destination", "warning")


class RegistryFile(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One registry file; several are read together as one registry."""

    people: Annotated[Mapping[PersonId, PersonEntry], Meta(description="Person's id → person.")] = {}
    teams: Annotated[Labels, Meta(description="Names of teams.")] = ()
    agents: Annotated[Mapping[Name, AgentEntry], Meta(description="Agent name → agent.")] = {}
    servers: Annotated[Mapping[Name, ServerEntry], Meta(description="Server name → MCP server.")] = {}
    models: Annotated[Mapping[Name, ModelEntry], Meta(description="Model name → model.")] = {}
    classes: Annotated[
        Mapping[ClassName, ClassEntry],
        Meta(description="Agent class → how the kernel treats it. Classes need no entry."),
    ] = {}
    destinations: Annotated[
        Mapping[Name, DestinationEntry], Meta(description="Destination's name → where agents may connect to or listen.")
    ] = {}
