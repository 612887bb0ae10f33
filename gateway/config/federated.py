"""``federation`` in the rest of the configuration: what its names must lead to, and the peers as values of ``core``.

Rules inside the section are ``federation_settings``'.
"""

from collections.abc import Iterable, Mapping

from gateway.config.federation_settings import FederationSettings, PeerSettings
from gateway.config.problems import Fault
from gateway.config.references import Declared, unknown_scopes
from gateway.config.settings import Settings
from gateway.core.federation import PeerGateway
from gateway.core.model import SpiffeId
from gateway.core.registry import Registry


def peers(federation: FederationSettings) -> Mapping[SpiffeId, PeerGateway]:
    """The peer gateways by SPIFFE ID."""
    return {SpiffeId(each.spiffe_id): _peer(name, each) for name, each in federation.peers.items()}


def gateways(federation: FederationSettings | None) -> Mapping[str, str]:
    """Peer gateway's name → its SPIFFE ID."""
    return {} if federation is None else {name: each.spiffe_id for name, each in federation.peers.items()}


def foreign_domains(federation: FederationSettings | None) -> frozenset[str]:
    """Trust domains that peer gateways vouch for."""
    if federation is None:
        return frozenset()
    return frozenset(each for peer in federation.peers.values() for each in (peer.trust_domain, *peer.trust_domains))


def foreign_users(federation: FederationSettings | None) -> Mapping[str, str]:
    """Issuers of the users that peer gateways speak for: short name → ``iss``."""
    if federation is None:
        return {}
    return {idp: issuer for peer in federation.peers.values() for idp, issuer in peer.users.items()}


def federation_faults(settings: Settings, registry: Registry, declared: Declared) -> Iterable[Fault]:
    """What of ``federation`` contradicts the rest of the settings and the registry."""
    own = settings.identity.trust_domain
    for name, peer in settings.federation.peers.items():
        for fault in (*_domain_faults(peer, own), *_issuer_faults(peer, settings)):
            yield Fault(("federation", "peers", name, *fault.key), fault.message, fault.hint, fault.severity)
        for theirs, ours in peer.scopes.items():
            yield from unknown_scopes(ours, ("federation", "peers", name, "scopes", theirs), declared.scopes)
    if own in settings.federation.bundles:
        message = "the bundle of the gateway's own trust domain is never fetched"
        yield Fault(("federation", "bundles", own), message, "remove it; it comes with the gateway's own identity")
    for domain, source in settings.federation.bundles.items():
        if source.url.startswith(f"{settings.issuer}/"):
            message = "this is the gateway's own bundle endpoint"
            yield Fault(("federation", "bundles", domain, "url"), message, f"name the endpoint of {domain}")
    yield from _route_faults(settings, registry)


def _domain_faults(peer: PeerSettings, own: str) -> Iterable[Fault]:
    message = f"{own} is the gateway's own trust domain, which no peer vouches for"
    if peer.trust_domain == own:
        yield Fault(("trust_domain",), message, "peers are the gateways of other trust domains")
    for index, each in enumerate(peer.trust_domains):
        if each == own:
            yield Fault(("trust_domains", index), message, "remove it")


def _issuer_faults(peer: PeerSettings, settings: Settings) -> Iterable[Fault]:
    known = {issuer.name: issuer.issuer for issuer in settings.issuers}
    if peer.issuer.rstrip("/") == settings.issuer.rstrip("/"):
        yield Fault(("issuer",), "this is the gateway's own issuer", "name the peer's")
    for issuer in settings.issuers:
        if issuer.issuer.rstrip("/") == peer.issuer.rstrip("/"):
            message = f"this is also issuer {issuer.name} of user tokens"
            yield Fault(("issuer",), message, "a gateway issues no user tokens: remove one of the two")
    for idp, issued in peer.users.items():
        if known.get(idp, issued) != issued:
            message = f"users of {idp} are those of {known[idp]} here, so the peer could speak for them"
            yield Fault(
                ("users", idp), message, "rename one of the two issuers; names go with the users across domains"
            )


def _route_faults(settings: Settings, registry: Registry) -> Iterable[Fault]:
    """A user's own client has no agent that the peer could vouch for."""
    servers = {name for name, server in registry.servers.items() if server.upstream.gateway}
    agents = {name for name, agent in registry.agents.items() if agent.upstream and agent.upstream.gateway}
    for kind, configured, across in (("mcp", settings.routes.mcp, servers), ("a2a", settings.routes.a2a, agents)):
        for name, route in configured.items():
            if route.clients == "user-only" and name in across:
                message = "the route leads to a peer gateway, which takes only chains with an agent in them"
                yield Fault(("routes", kind, name, "clients"), message, "use clients: agents")


def _peer(name: str, peer: PeerSettings) -> PeerGateway:
    return PeerGateway(
        name=name,
        issuer=peer.issuer,
        spiffe_id=SpiffeId(peer.spiffe_id),
        trust_domain=peer.trust_domain,
        token_endpoint=peer.token_endpoint,
        trust_domains=frozenset({peer.trust_domain, *peer.trust_domains}),
        users=peer.users,
        scopes={theirs: frozenset(ours) for theirs, ours in peer.scopes.items()},
        max_depth=peer.max_depth,
    )
