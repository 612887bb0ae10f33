"""Chains that cross trust domains: what leaves in an assertion, and what of one counts here (TOKENS §3).

A peer gateway vouches for agents and users of its own side only, in its own words: its scopes count through the
scope map, each of its agents has to be registered here and cuts the chain as one of ours would. Doesn't verify
signatures (``identity.assertions``) and doesn't know what was presented before (``store``).
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.core import delegation
from gateway.core.errors import HopError, TokenError
from gateway.core.limits import Limits
from gateway.core.model import Chain, ChainToken, ExchangedToken, Hop, Peer, Route, SpiffeId, User
from gateway.core.reasons import Reason
from gateway.core.registry import Registry
from gateway.core.scope import served
from gateway.core.spiffe import SCHEME, trust_domain_of

ASSERTION_SECONDS = 60
"""Longest life of an assertion."""


class PeerGateway(Struct, frozen=True, kw_only=True):
    """The gateway of another trust domain, as it is configured."""

    name: str
    issuer: str
    spiffe_id: SpiffeId
    trust_domain: str
    token_endpoint: str
    trust_domains: frozenset[str]
    """Trust domains whose agents it may vouch for, its own included; never ours."""
    users: Mapping[str, str]
    """Names of the issuers whose users it may speak for → their ``iss``."""
    scopes: Mapping[str, frozenset[str]]
    """Its scopes → ours; an unmapped one is worth nothing."""
    max_depth: int
    """Most agents of a chain that comes in."""


class Assertion(Struct, frozen=True, kw_only=True):
    """What a peer gateway says of a chain: genuine, and not yet judged."""

    issuer: str
    sub: str
    resource: str
    """The route here that it is for."""
    actors: tuple[SpiffeId, ...]
    txn: str
    ceiling: frozenset[str]
    """``del_scope`` in the peer's words."""
    depth: int
    max_depth: int
    root_expires: int
    expires: int
    x5t: str
    """Of the certificate that may redeem it."""
    digest: str


def outgoing_ceiling(chain: Chain, route: Route, registry: Registry) -> frozenset[str]:
    """``del_scope`` of the assertion: what is of any use at the route, and no more than the chain has.

    Unlike a hop token's it holds what the call itself needs, since the peer decides the same call again.
    """
    return chain.ceiling & served(route, registry)


def assertion_claims(
    hop: Hop, peer: PeerGateway, ceiling: frozenset[str], *, issuer: str, jti: str, x5t: str, limits: Limits
) -> Mapping[str, Any]:
    """Claims of the assertion by which ``peer`` continues the chain (RFC 7523 §3).

    Nothing of the user crosses but ``sub``: roles and groups mean something only where they were given.

    Raises:
        HopError: ENTRY_POINT_REQUIRED, no agent is in the chain, so there is nobody to vouch for.
    """
    chain, now = hop.chain, hop.now // 1000
    if not chain.actors:
        raise HopError(Reason.ENTRY_POINT_REQUIRED, "a chain crosses to another domain only with an agent in it")
    kept = ("sub", "client_id", "txn", "del_depth", "del_max_depth", "root_exp", "act")
    facts = delegation.chain_claims(chain, None, limits)
    return {
        **{name: facts[name] for name in kept},
        "iss": issuer,
        "aud": peer.issuer,
        "resource": hop.route.audience,
        "iat": now,
        "nbf": now,
        "exp": min(now + ASSERTION_SECONDS, chain.root_expires),
        "jti": jti,
        "del_scope": " ".join(sorted(ceiling)),
        "cnf": {"x5t#S256": x5t},
    }


def transcribe(
    assertion: Assertion, peer: PeerGateway, registry: Registry, own_domain: str, now: int, limits: Limits
) -> Chain:
    """The chain of a peer's assertion, in this gateway's words and within its limits.

    ``agents`` are the registered names of the foreign actors, and the ceiling is cut to what each was granted here.

    Raises:
        HopError: DEPTH_EXCEEDED, CHAIN_FORGED, AGENT_UNREGISTERED, AGENT_SUSPENDED.
        TokenError: CHAIN_EXPIRED, TOKEN_ISSUER for a user that the peer may not speak for.
    """
    if not assertion.actors:
        raise HopError(Reason.CHAIN_FORGED, "the assertion names no agent")
    if assertion.depth > peer.max_depth:
        raise HopError(Reason.DEPTH_EXCEEDED, f"depth {assertion.depth} is over max_depth {peer.max_depth} of the peer")
    max_depth = min(assertion.max_depth, limits.max_depth)
    if assertion.depth > max_depth:
        raise HopError(Reason.DEPTH_EXCEEDED, f"depth {assertion.depth} is over del_max_depth {max_depth}")
    root_expires = min(assertion.root_expires, now + limits.root_ttl_seconds)
    if now >= root_expires:
        raise TokenError(Reason.CHAIN_EXPIRED, "the chain reached root_exp")
    check_actors(assertion.actors, peer, own_domain)
    foreign_user(assertion.sub, peer)
    ceiling = mapped(assertion.ceiling, peer)
    for actor in assertion.actors:
        ceiling &= frozenset(delegation.active_agent(actor, registry).scopes)
    return Chain(
        sub=assertion.sub,
        actors=assertion.actors,
        agents=tuple(delegation.active_agent(actor, registry).name for actor in assertion.actors),
        txn=assertion.txn,
        root_expires=root_expires,
        max_depth=max_depth,
        ceiling=ceiling,
        parent=assertion.digest,
        reentry=assertion.actors[-1] in assertion.actors[:-1],
        via=peer.spiffe_id,
    )


def mapped(scopes: frozenset[str], peer: PeerGateway) -> frozenset[str]:
    """What the peer's scopes are worth here."""
    return frozenset[str]().union(*(peer.scopes.get(scope, frozenset()) for scope in scopes))


def check_actors(actors: tuple[SpiffeId, ...], peer: PeerGateway, own_domain: str) -> None:
    """Check that ``peer`` vouches only for agents of the trust domains that are configured for it.

    Raises:
        HopError: CHAIN_FORGED. Our own agents continue chains here, in their own name.
    """
    for actor in actors:
        domain = trust_domain_of(actor)
        if domain == own_domain or domain not in peer.trust_domains:
            raise HopError(Reason.CHAIN_FORGED, f"peer {peer.name} does not vouch for agents of {domain}")


def foreign_user(sub: str, peer: PeerGateway) -> User | None:
    """The user that a chain of ``peer`` acts for; None where it began with an agent.

    Raises:
        TokenError: TOKEN_ISSUER, the peer may not speak for users of that issuer.
    """
    if sub.startswith(SCHEME):
        return None
    idp, _, subject = sub.partition("|")
    if idp not in peer.users or not subject:
        raise TokenError(Reason.TOKEN_ISSUER, f"peer {peer.name} may not speak for users of issuer {idp[:64]!r}")
    return User(issuer=peer.users[idp], idp=idp, subject=subject)


def access_claims(
    chain: Chain, resource: str, *, issuer: str, jti: str, x5t: str, now: int, limits: Limits
) -> Mapping[str, Any]:
    """Claims of the token that a peer gateway brings ``chain`` with, to the route of ``resource`` and nowhere else.

    ``x5t`` is of the certificate that redeemed the assertion, whose digest is ``par_hash``: it joins the records of
    both domains. ``scope`` and ``del_scope`` are the same, since the call is yet to be decided.
    """
    granted = " ".join(sorted(chain.ceiling))
    return {
        **delegation.chain_claims(chain, None, limits),
        "iss": issuer,
        "aud": resource,
        "iat": now,
        "nbf": now,
        "exp": min(now + limits.exchange_ttl_seconds, chain.root_expires),
        "jti": jti,
        "scope": granted,
        "del_scope": granted,
        "cnf": {"x5t#S256": x5t},
    }


def spoken_for(actor: SpiffeId, gateway: Peer) -> Peer:
    """The agent that a peer gateway speaks for, by the gateway's own connection and certificate."""
    return Peer(actor, trust_domain_of(actor), gateway.x5t, gateway.not_after, gateway=gateway.spiffe_id)


def check_origin(via: SpiffeId | None, peers: Mapping[SpiffeId, PeerGateway]) -> None:
    """Check that the gateway that vouched for a chain is still configured.

    Raises:
        HopError: CHAIN_FORGED.
    """
    if via is not None and via not in peers:
        raise HopError(Reason.CHAIN_FORGED, f"{via}, which vouched for the chain, is no peer gateway any more")


def check_redeemed(token: ChainToken, client: Peer, own_domain: str) -> None:
    """Check that ``client`` exchanges no token that a peer gateway redeemed: its last actor is not who holds it.

    Tokens of an agent of another domain look the same but for the certificate, so such an agent exchanges one only with
    the certificate that it is bound to. Our own agents are never the last actor of what a gateway redeemed.

    Raises:
        HopError: CHAIN_HOLDER.
    """
    if not isinstance(token, ExchangedToken) or token.via is None or trust_domain_of(token.actors[-1]) == own_domain:
        return
    if token.x5t != client.x5t:
        raise HopError(Reason.CHAIN_HOLDER, f"the token is bound to another certificate than {client.spiffe_id}'s")


def enter(
    token: ExchangedToken, gateway: PeerGateway, route: Route, registry: Registry, own_domain: str, now: int
) -> Chain:
    """The chain that ``gateway``, which redeemed ``token`` by its certificate, brings to ``route``.

    Its actors are judged again: an agent or a trust domain that was withdrawn since the token was issued is gone.

    Raises:
        HopError: CHAIN_FORGED, DEPTH_EXCEEDED, AGENT_UNREGISTERED or AGENT_SUSPENDED.
        TokenError: TOKEN_AUDIENCE, TOKEN_EXPIRED.
    """
    if token.audience != route.resource:
        raise TokenError(Reason.TOKEN_AUDIENCE, f"the token is for {token.audience}")
    if now >= token.expires:
        raise TokenError(Reason.TOKEN_EXPIRED, "the access token is expired; redeem another assertion")
    if token.depth > gateway.max_depth:
        raise HopError(Reason.DEPTH_EXCEEDED, f"depth {token.depth} is over max_depth {gateway.max_depth} of the peer")
    check_actors(token.actors, gateway, own_domain)
    return Chain(
        sub=token.sub,
        actors=token.actors,
        agents=tuple(delegation.active_agent(actor, registry).name for actor in token.actors),
        txn=token.txn,
        root_expires=token.root_expires,
        max_depth=token.max_depth,
        ceiling=token.ceiling,
        parent=token.digest,
        reentry=token.actors[-1] in token.actors[:-1],
        via=token.via,
        until=token.expires,
    )
