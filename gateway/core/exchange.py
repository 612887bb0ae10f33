"""Tokens that the token endpoint issues for a chain (RFC 8693; TOKENS §3): what they may say, and who may use them.

*Continue*: an agent exchanges the token that it received; it is pushed on the chain, one deeper. *Narrow* and *renew*:
it exchanges a token that was issued to it, for the same resource; the chain stays, its scopes may shrink. Nothing but
the times and the certificate binding of a renewed token is new. Doesn't verify signatures (``identity.hop_tokens``).
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gateway.core import delegation
from gateway.core.errors import HopError, TokenError
from gateway.core.limits import Limits
from gateway.core.model import Chain, ExchangedToken, HopToken, Peer, Route, User
from gateway.core.reasons import Reason
from gateway.core.registry import Agent, Registry
from gateway.core.scope import served


class Exchanged(Struct, frozen=True):
    """An exchange that may be made: the chain that the new token continues, and the scopes it is cut to."""

    chain: Chain
    user: User | None
    scope: frozenset[str]


def exchanged(
    agent: Agent,
    subject: HopToken | ExchangedToken,
    route: Route,
    requested: frozenset[str] | None,
    registry: Registry,
    now: int,
    limits: Limits,
) -> Exchanged:
    """What ``agent`` is given for ``subject`` to use at ``route``; ``requested`` None: all that it can have.

    Raises:
        HopError: TARGET_UNKNOWN, CONTINUATION_REFUSED, CHAIN_HOLDER, DEPTH_EXCEEDED, SCOPE_CEILING (more was requested
            than there is, or nothing is left), or an earlier actor's standing.
        TokenError: CHAIN_EXPIRED.
    """
    if "exchange" not in route.continuation:
        raise HopError(Reason.TARGET_UNKNOWN, f"no tokens are issued for {route.path}")
    if isinstance(subject, ExchangedToken):
        chain = held(agent, subject, registry, now)
        if subject.audience != route.resource:
            raise HopError(Reason.TARGET_UNKNOWN, "a token is renewed for its own resource only")
    else:
        chain = delegation.resume(agent, subject, route, registry, now, way="exchange")
    if chain.depth > limits.max_depth:
        raise HopError(Reason.DEPTH_EXCEEDED, f"depth {chain.depth} is over limits.max_depth {limits.max_depth}")
    available = chain.ceiling & served(route, registry)
    granted = available if requested is None else requested
    if granted - available:
        beyond = " ".join(sorted(granted - available))
        raise HopError(Reason.SCOPE_CEILING, f"the chain has no scope {beyond} for this resource")
    if not granted:
        raise HopError(Reason.SCOPE_CEILING, "the chain has no scope for this resource")
    return Exchanged(chain, subject.user, granted)


def held(agent: Agent, token: ExchangedToken, registry: Registry, now: int) -> Chain:
    """The chain of a token that was issued to ``agent``: as it is, for the agent is in it already.

    Raises:
        HopError: CHAIN_HOLDER, CONTINUATION_REFUSED, or an actor's standing.
        TokenError: CHAIN_EXPIRED.
    """
    if token.actors[-1] != agent.spiffe_id:
        raise HopError(Reason.CHAIN_HOLDER, f"the token was not issued to agent {agent.name}")
    if "exchange" not in agent.continuation:
        raise HopError(Reason.CONTINUATION_REFUSED, f"agent {agent.name} may not continue chains by exchange")
    if now >= token.root_expires:
        raise TokenError(Reason.CHAIN_EXPIRED, "the chain reached root_exp")
    return Chain(
        sub=token.sub,
        actors=token.actors,
        agents=delegation.names(token.actors, registry),
        txn=token.txn,
        root_expires=token.root_expires,
        max_depth=token.max_depth,
        ceiling=token.ceiling & frozenset(agent.scopes),
        parent=token.digest,
        reentry=agent.spiffe_id in token.actors[:-1],
        purpose=token.purpose,
        via=token.via,
        way="exchange",
    )


def presented(agent: Agent, token: ExchangedToken, route: Route, peer: Peer, registry: Registry, now: int) -> Chain:
    """The chain of an issued token that ``agent`` presents at ``route``: only there, by the certificate that it is
    bound to, and only until its ``exp``.

    Raises:
        HopError: as ``held``.
        TokenError: TOKEN_AUDIENCE, TOKEN_CLAIMS (another certificate), TOKEN_EXPIRED, CHAIN_EXPIRED.
    """
    chain = held(agent, token, registry, now)
    if token.audience != route.resource:
        raise TokenError(Reason.TOKEN_AUDIENCE, "the token was issued for another resource of the gateway")
    if "exchange" not in route.continuation:
        raise TokenError(Reason.TOKEN_AUDIENCE, f"route {route.path} takes no token of the token endpoint")
    if token.x5t != peer.x5t:
        raise TokenError(
            Reason.TOKEN_CLAIMS, "the token is bound to another certificate; renew it with the current one"
        )
    if now >= token.expires:
        raise TokenError(Reason.TOKEN_EXPIRED, "the token reached exp; renew it")
    return msgspec.structs.replace(chain, until=token.expires)


def claims(
    made: Exchanged, *, issuer: str, audience: str, jti: str, x5t: str, now: int, limits: Limits
) -> Mapping[str, Any]:
    """Claims of the issued token. ``x5t`` is of the caller's certificate; ``now`` in Unix seconds.

    ``scope`` and ``del_scope`` are the same: at the gateway the token may do what its chain may, and what one call
    needs is cut from that when it is forwarded.
    """
    granted = " ".join(sorted(made.scope))
    return {
        **delegation.chain_claims(made.chain, made.user, limits),
        "iss": issuer,
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": min(now + limits.exchange_ttl_seconds, made.chain.root_expires),
        "jti": jti,
        "scope": granted,
        "del_scope": granted,
        "cnf": {"x5t#S256": x5t},
    }
