"""Entries of a registry file to the values of ``core.registry``, defaults filled in. Checks nothing."""

from gateway.config.registry_file import (
    AgentEntry,
    ModelEntry,
    PersonEntry,
    ResourcesEntry,
    ServerEntry,
    ServerUpstream,
    ToolEntry,
)
from gateway.config.third_party_entries import OauthEntry
from gateway.core.model import SpiffeId
from gateway.core.registry import Agent, Model, Person, Resources, Server, Tool, Upstream
from gateway.core.scope import default_scopes
from gateway.core.third_party import ApiKey, ClientAuthentication, OAuthClient, ThirdParty


def needed_scopes(server: str, tool: str, entry: ToolEntry) -> tuple[str, ...]:
    """Scopes that a call of the tool needs: ``<server>/<tool>`` unless it names its own."""
    return (f"{server}/{tool}",) if entry.scopes is None else entry.scopes


def reading_scopes(server: str, entry: ResourcesEntry) -> tuple[str, ...]:
    """Scopes that reading such a resource needs: the server's default unless the entry names its own."""
    return (default_scopes(server)["McpResource"],) if entry.scopes is None else entry.scopes


def model(name: str, entry: ModelEntry) -> Model:
    """The model."""
    return Model(name=name, provider=entry.provider, sets=entry.sets)


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


def agent(name: str, entry: AgentEntry) -> Agent:
    """The agent; over https its upstream has to be the agent itself."""
    spiffe_id = SpiffeId(entry.spiffe_id)
    upstream = None
    if entry.upstream is not None:
        secured = spiffe_id if entry.upstream.url.startswith("https:") else None
        upstream = Upstream(entry.upstream.url, secured, entry.upstream.audience, entry.upstream.card_key)
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
        status=entry.status,
        tags=entry.tags,
        upstream=upstream,
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


def server(name: str, entry: ServerEntry) -> Server:
    """The server with its tools."""
    spiffe_id = None if entry.upstream.spiffe_id is None else SpiffeId(entry.upstream.spiffe_id)
    return Server(
        name=name,
        team=entry.team,
        environment=entry.environment,
        sets=entry.sets,
        upstream=Upstream(
            entry.upstream.url, spiffe_id, entry.upstream.audience, third_party=third_party(entry.upstream)
        ),
        tools={each: tool(name, each, described, entry.environment) for each, described in entry.tools.items()},
        resources={each: resources(name, each, described) for each, described in entry.resources.items()},
    )


def resources(server: str, pattern: str, entry: ResourcesEntry) -> Resources:
    """What is known of the resources that ``pattern`` covers."""
    return Resources(server=server, pattern=pattern, sets=entry.sets, scopes=reading_scopes(server, entry))


def tool(server: str, name: str, entry: ToolEntry, environment: str) -> Tool:
    """The tool; ``environment`` is its server's, used where the tool has none of its own."""
    return Tool(
        server=server,
        name=name,
        risk_level=entry.risk_level,
        environment=entry.environment or environment,
        read_only=entry.read_only,
        destructive=not entry.read_only if entry.destructive is None else entry.destructive,
        open_world=entry.open_world,
        capabilities=entry.capabilities,
        sets=entry.sets,
        scopes=needed_scopes(server, name, entry),
        input_schema=entry.input_schema,
        sensitive=entry.sensitive,
        pin=entry.pin,
    )
