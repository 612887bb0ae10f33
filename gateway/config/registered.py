"""Entries of a registry file to the values of ``core.registry``, defaults filled in. Checks nothing."""

from collections.abc import Mapping
from typing import Any

from gateway.config.registry_file import (
    AgentEntry,
    ClassEntry,
    DestinationEntry,
    ModelEntry,
    PersonEntry,
    PromptsEntry,
    ResourcesEntry,
    ServerEntry,
    ServerUpstream,
    ToolEntry,
)
from gateway.config.third_party_entries import OauthEntry
from gateway.core.model import SpiffeId
from gateway.core.registry import (
    Agent,
    AgentClass,
    Destination,
    Model,
    Needs,
    Person,
    Prompts,
    Resources,
    Server,
    Tool,
    Upstream,
)
from gateway.core.scope import default_scopes
from gateway.core.third_party import ApiKey, ClientAuthentication, OAuthClient, ThirdParty


def needed_scopes(server: str, tool: str, entry: ToolEntry, owner: ServerEntry) -> tuple[str, ...]:
    """Scopes that a call of the tool needs: its own, else its server's, else ``<server>/<tool>``."""
    return owner.needs.get("invokeTool", (f"{server}/{tool}",)) if entry.scopes is None else entry.scopes


def reading_scopes(server: str, entry: ResourcesEntry, owner: ServerEntry) -> tuple[str, ...]:
    """Scopes that reading such a resource needs: its own, else its server's, else the default."""
    default = owner.needs.get("readResource", (default_scopes(server)["McpResource"],))
    return default if entry.scopes is None else entry.scopes


def getting_scopes(server: str, entry: PromptsEntry, owner: ServerEntry) -> tuple[str, ...]:
    """Scopes that getting such a prompt needs: its own, else its server's, else the default."""
    default = owner.needs.get("getPrompt", (default_scopes(server)["Prompt"],))
    return default if entry.scopes is None else entry.scopes


def model(name: str, entry: ModelEntry) -> Model:
    """The model."""
    return Model(name=name, provider=entry.provider, sets=entry.sets)


def agent_class(name: str, entry: ClassEntry) -> AgentClass:
    """The class."""
    return AgentClass(name=name, audit=entry.audit, hide=entry.hide)


def destination(name: str, entry: DestinationEntry) -> Destination:
    """The destination."""
    return Destination(name=name, host=entry.host, port=entry.port, protocol=entry.protocol, sets=entry.sets)


def person(person_id: str, entry: PersonEntry) -> Person:
    """The person whose id is ``<idp>|<subject>``."""
    return Person(
        id=person_id,
        issuer=entry.issuer,
        subject=person_id.partition("|")[2],
        name=entry.name,
        email=entry.email,
        roles=entry.roles,
        groups=entry.groups,
        team=entry.team,
    )


def agent(name: str, entry: AgentEntry, gateways: Mapping[str, str]) -> Agent:
    """The agent; over https its upstream has to be the agent itself, or the peer gateway that it is behind.

    ``gateways`` are the SPIFFE IDs of peer gateways by name.
    """
    spiffe_id = SpiffeId(entry.spiffe_id)
    upstream = None
    if entry.upstream is not None:
        there = entry.upstream
        secured = spiffe_id if there.url.startswith("https:") else None
        upstream = _across(Upstream(there.url, secured, there.audience, there.card_key), there.gateway, gateways)
    return Agent(
        name=name,
        spiffe_id=spiffe_id,
        owner=entry.owner,
        team=entry.team,
        purpose=entry.purpose,
        capabilities=entry.capabilities,
        risk_level=entry.risk_level,
        environment=entry.environment,
        groups=entry.groups,
        classes=entry.classes,
        scopes=entry.scopes,
        entry_point=entry.entry_point,
        clients=entry.clients,
        live_ancestry=entry.live_ancestry,
        status=entry.status,
        continuation=frozenset(entry.continuation),
        tags=entry.tags,
        upstream=upstream,
        needs={} if entry.upstream is None else _needs(entry.upstream.needs),
        ceiling=None if entry.upstream is None else entry.upstream.ceiling,
    )


def third_party(entry: ServerUpstream) -> ThirdParty | None:
    """What makes the upstream a third party's; None where it is known by its SPIFFE ID."""
    if entry.tls != "web":
        return None
    credential: ApiKey | OAuthClient | None = None
    if entry.credential is not None:
        credential = ApiKey(entry.credential.header, entry.credential.value)
    elif entry.oauth is not None:
        credential = _oauth_client(entry.oauth, entry.url)
    return ThirdParty(entry.ca_file, credential)


def _oauth_client(entry: OauthEntry, url: str) -> OAuthClient:
    authentication: ClientAuthentication = "none"
    if entry.client_key is not None:
        authentication = "private_key_jwt"
    elif entry.client_secret is not None:
        authentication = entry.client_authentication
    return OAuthClient(
        grant=entry.grant,
        issuer=entry.issuer,
        client_id=entry.client_id,
        authentication=authentication,
        secret=entry.client_key or entry.client_secret,
        scopes=entry.scopes,
        resource=entry.resource or url,
        token_endpoint=entry.token_endpoint,
        authorization_endpoint=entry.authorization_endpoint,
        ca_file=entry.ca_file,
    )


def server(name: str, entry: ServerEntry, gateways: Mapping[str, str]) -> Server:
    """The server with its tools."""
    spiffe_id = None if entry.upstream.spiffe_id is None else SpiffeId(entry.upstream.spiffe_id)
    return Server(
        name=name,
        team=entry.team,
        environment=entry.environment,
        sets=entry.sets,
        upstream=_across(
            Upstream(entry.upstream.url, spiffe_id, entry.upstream.audience, third_party=third_party(entry.upstream)),
            entry.upstream.gateway,
            gateways,
        ),
        tools={each: tool(name, each, described, entry) for each, described in entry.tools.items()},
        resources={each: resources(name, each, described, entry) for each, described in entry.resources.items()},
        prompts={each: prompts(name, each, described, entry) for each, described in entry.prompts.items()},
        needs=_needs(entry.needs),
    )


def _across(upstream: Upstream, gateway: str | None, gateways: Mapping[str, str]) -> Upstream:
    """The upstream as a peer gateway's route: its URL is what the peer's tokens are for."""
    if gateway is None:
        return upstream
    there = SpiffeId(gateways[gateway]) if gateway in gateways else None
    return Upstream(upstream.url, there, upstream.audience or upstream.url, upstream.card_key, gateway)


def resources(server: str, pattern: str, entry: ResourcesEntry, owner: ServerEntry) -> Resources:
    """What is known of the resources that ``pattern`` covers."""
    return Resources(server=server, pattern=pattern, sets=entry.sets, scopes=reading_scopes(server, entry, owner))


def prompts(server: str, pattern: str, entry: PromptsEntry, owner: ServerEntry) -> Prompts:
    """What is known of the prompts that ``pattern`` covers."""
    return Prompts(server=server, pattern=pattern, scopes=getting_scopes(server, entry, owner))


def tool(server: str, name: str, entry: ToolEntry, owner: ServerEntry) -> Tool:
    """The tool; environment and needs are its server's where it has none of its own."""
    return Tool(
        server=server,
        name=name,
        risk_level=entry.risk_level,
        environment=entry.environment or owner.environment,
        read_only=entry.read_only,
        destructive=not entry.read_only if entry.destructive is None else entry.destructive,
        open_world=entry.open_world,
        capabilities=entry.capabilities,
        sets=entry.sets,
        scopes=needed_scopes(server, name, entry, owner),
        input_schema=entry.input_schema,
        sensitive=entry.sensitive,
        pin=entry.pin,
    )


def _needs(written: Mapping[Any, tuple[str, ...]]) -> Needs:
    # Its keys are of a closed list of words, to a type checker no strings.
    return dict(written)
