"""From a presented token to a chain, and from a chain to the claims of the next token (TOKENS §3–4).

Depth, actors and holder come from verified tokens and the registry only; never from a header, a body
or ``_meta``. Doesn't verify signatures (``identity.tokens``) and doesn't store bindings (``store``).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.core.audit import token_digest
from gateway.core.errors import HopError, TokenError
from gateway.core.limits import Limits
from gateway.core.model import Chain, Hop, HopToken, Minted, Peer, RootToken, Route, SpiffeId, User, Way
from gateway.core.ports import Binding
from gateway.core.reasons import Reason
from gateway.core.registry import Agent, Registry


def presenter(agent: Agent | None, root: RootToken) -> str:
    """Who presents a root token: the entry agent, or the user's own client."""
    return f"client:{root.client}" if agent is None else f"agent:{agent.name}"


def may_begin(agent: Agent | None, root: RootToken, route: Route) -> None:
    """Check that this presenter may begin a chain with ``root`` at all.

    Raises:
        HopError: ENTRY_POINT_REQUIRED.
    """
    if agent is None:
        if route.clients != "user-only":
            raise HopError(Reason.ENTRY_POINT_REQUIRED, f"route {route.path} is for agents only")
    elif not agent.entry_point or root.client not in agent.clients:
        raise HopError(
            Reason.ENTRY_POINT_REQUIRED, f"agent {agent.name} is not an entry point for client {root.client!r}"
        )


def proposed_binding(agent: Agent | None, root: RootToken, txn: str, now: int, limits: Limits) -> Binding:
    """The binding to insert for a root token: its chain ends with the token, or at the root TTL if sooner."""
    root_expires = min(root.expires, now + limits.root_ttl_seconds)
    return Binding(presenter(agent, root), txn, root_expires, root.expires)


def begin(agent: Agent | None, root: RootToken, binding: Binding, now: int, limits: Limits) -> Chain:
    """The chain that a user's token begins, as the store bound it.

    Raises:
        HopError: ROOT_TOKEN_BOUND, another presenter was first.
        TokenError: CHAIN_EXPIRED.
    """
    if binding.agent != presenter(agent, root):
        raise HopError(Reason.ROOT_TOKEN_BOUND, "another presenter began a chain with this token")
    if now >= binding.root_expires:
        raise TokenError(Reason.CHAIN_EXPIRED, "the chain that this token began is over")
    return Chain(
        sub=root.user.sub,
        actors=() if agent is None else (agent.spiffe_id,),
        agents=() if agent is None else (agent.name,),
        txn=binding.txn,
        root_expires=binding.root_expires,
        max_depth=limits.max_depth,
        ceiling=root.scopes if agent is None else root.scopes & frozenset(agent.scopes),
        parent=root.digest,
        client=root.client,
    )


def begin_without_user(agent: Agent, txn: str, now: int, limits: Limits) -> Chain:
    """The chain of an agent that acts for nobody; whether it may is policy's to say.

    Raises:
        TokenError: TOKEN_MISSING, the agent is no entry point: a delegate that drops its hop token
            must not become the beginning of a shorter chain.
    """
    if not agent.entry_point:
        raise TokenError(Reason.TOKEN_MISSING, f"agent {agent.name} is not an entry point and sent no hop token")
    return Chain(
        sub=agent.spiffe_id,
        actors=(agent.spiffe_id,),
        agents=(agent.name,),
        txn=txn,
        root_expires=now + limits.root_ttl_seconds,
        max_depth=limits.max_depth,
        ceiling=frozenset(agent.scopes),
    )


def resume(agent: Agent, token: HopToken, route: Route, registry: Registry, now: int, *, way: Way = "header") -> Chain:
    """The chain that ``agent`` continues with the hop token that it received (TOKENS §3): sent back itself, exchanged,
    or as the store has it for the handle of a trace.

    Raises:
        HopError: CHAIN_HOLDER, CONTINUATION_REFUSED, DEPTH_EXCEEDED, AGENT_UNREGISTERED or AGENT_SUSPENDED of an
            earlier actor.
        TokenError: CHAIN_EXPIRED, or TOKEN_AUDIENCE where the route takes no continuation in this way.
    """
    if way not in route.continuation:
        raise TokenError(Reason.TOKEN_AUDIENCE, f"route {route.path} takes no chain that is continued by {way}")
    if registry.by_audience.get(token.audience) != agent.name:
        raise HopError(Reason.CHAIN_HOLDER, f"the token's audience {token.audience} is not agent {agent.name}'s")
    if way not in agent.continuation:
        raise HopError(Reason.CONTINUATION_REFUSED, f"agent {agent.name} may not continue chains by {way}")
    if now >= token.root_expires:
        raise TokenError(Reason.CHAIN_EXPIRED, "the chain reached root_exp")
    if token.depth >= token.max_depth:
        raise HopError(Reason.DEPTH_EXCEEDED, f"depth {token.depth + 1} is over del_max_depth {token.max_depth}")
    return Chain(
        sub=token.sub,
        actors=(*token.actors, agent.spiffe_id),
        agents=(*names(token.actors, registry), agent.name),
        txn=token.txn,
        root_expires=token.root_expires,
        max_depth=token.max_depth,
        ceiling=token.ceiling & frozenset(agent.scopes),
        parent=token.digest,
        reentry=agent.spiffe_id in token.actors,
        purpose=token.purpose,
        via=token.via,
        way=way,
    )


def standing(chain: Chain, registry: Registry) -> None:
    """Check that every agent of a chain that goes on is still registered and active.

    Raises:
        HopError: AGENT_UNREGISTERED or AGENT_SUSPENDED.
    """
    names(chain.actors, registry)


def names(actors: Iterable[SpiffeId], registry: Registry) -> tuple[str, ...]:
    """Registered names of a chain's actors, all of them active.

    Raises:
        HopError: AGENT_UNREGISTERED or AGENT_SUSPENDED.
    """
    return tuple(active_agent(actor, registry).name for actor in actors)


def calling_agent(peer: Peer, registry: Registry, now: int) -> Agent:
    """The registered, active agent behind a verified peer.

    Raises:
        HopError: AGENT_UNREGISTERED, AGENT_SUSPENDED, CERTIFICATE_EXPIRED.
    """
    if now >= peer.not_after:
        raise HopError(Reason.CERTIFICATE_EXPIRED, peer.spiffe_id)
    return active_agent(peer.spiffe_id, registry)


def claims(
    hop: Hop, scope: frozenset[str], ceiling: frozenset[str], *, issuer: str, jti: str, x5t: str, limits: Limits
) -> Mapping[str, Any]:
    """Claims of the token for the next hop (RFC 9068, RFC 8693 §4.1, RFC 8705; TOKENS §3).

    ``act`` ends with the caller; the upstream is pushed when it acts itself. ``x5t`` is of the
    gateway's client certificate, the only holder that may present the token to the upstream.
    """
    chain, now = hop.chain, hop.now // 1000
    return {
        **chain_claims(chain, hop.user, limits),
        "iss": issuer,
        "aud": hop.route.audience,
        "iat": now,
        "nbf": now,
        "exp": min(now + limits.access_ttl_seconds, chain.root_expires),
        "jti": jti,
        "scope": " ".join(sorted(scope)),
        "del_scope": " ".join(sorted(ceiling)),
        "cnf": {"x5t#S256": x5t},
    }


def chain_claims(chain: Chain, user: User | None, limits: Limits) -> Mapping[str, Any]:
    """What every token of ``chain`` says of it, whoever it is for."""
    found: dict[str, Any] = {
        "sub": chain.sub,
        "client_id": chain.actors[-1] if chain.actors else chain.client,
        "txn": chain.txn,
        "del_depth": chain.depth,
        "del_max_depth": min(chain.max_depth, limits.max_depth),
        "root_exp": chain.root_expires,
    }
    if chain.actors:
        found["act"] = nest(chain.actors)
    if chain.parent is not None:
        found["par_hash"] = chain.parent
    if chain.purpose is not None:
        found["tctx"] = {"purpose": chain.purpose}
    if chain.via is not None:
        found["via"] = chain.via
    if user is not None:
        found |= _user_claims(user)
    return found


def delegated(hop: Hop, minted: Minted, limits: Limits) -> HopToken:
    """What the token minted for ``hop`` says of its chain: the same as reading its claims back."""
    chain = hop.chain
    return HopToken(
        sub=chain.sub,
        audience=hop.route.audience,
        actors=chain.actors,
        txn=chain.txn,
        ceiling=minted.ceiling,
        depth=chain.depth,
        max_depth=min(chain.max_depth, limits.max_depth),
        root_expires=chain.root_expires,
        expires=minted.expires,
        digest=token_digest(minted.token),
        user=hop.user,
        purpose=chain.purpose,
        via=chain.via,
    )


def nest(actors: tuple[SpiffeId, ...]) -> Mapping[str, Any]:
    """RFC 8693 §4.1 ``act``: the current actor outermost, the entry agent innermost."""
    act: dict[str, Any] = {"sub": actors[0]}
    for actor in actors[1:]:
        act = {"sub": actor, "act": act}
    return act


def _user_claims(user: User) -> Mapping[str, Any]:
    # RFC 9068 §2.2.3.1. What Cedar reads of a user must not grow poorer along the chain.
    offered = {"email": user.email, "roles": list(user.roles), "groups": list(user.groups)}
    return {name: value for name, value in offered.items() if value}


def active_agent(spiffe_id: SpiffeId, registry: Registry) -> Agent:
    """The registered, active agent of a SPIFFE ID, whatever its trust domain.

    Raises:
        HopError: AGENT_UNREGISTERED, AGENT_SUSPENDED.
    """
    agent = registry.agent_of(spiffe_id)
    if agent is None:
        raise HopError(Reason.AGENT_UNREGISTERED, f"{spiffe_id} is not a registered agent")
    if agent.status != "active":
        raise HopError(Reason.AGENT_SUSPENDED, f"agent {agent.name} is {agent.status}")
    return agent
