"""From a request's credentials to the chain that it begins or continues. The only place that accepts them."""

import msgspec

from gateway.core import delegation, exchange
from gateway.core.errors import HopError, TokenError
from gateway.core.exchange import Exchanged
from gateway.core.model import Chain, ExchangedToken, HopToken, Presented, RootToken, Route, Way
from gateway.core.reasons import Reason
from gateway.core.registry import Agent
from gateway.proxy import crossing, handles
from gateway.proxy.gate import Gate, Passage


async def present(passage: Passage, route: Route) -> Presented:
    """The verified token of the request, or None where the route does without.

    Raises:
        TokenError: TOKEN_MISSING, or what the token is refused for.
    """
    if crossing.is_gateway(passage):
        return await crossing.present(passage, route)
    authorization = passage.headers.get("authorization")
    if authorization is not None:
        now, peer = passage.at // 1000, passage.exchange.peer
        return await passage.edition.tokens.verify(authorization, route, now, peer=peer)
    if _takes_traces(passage.agent, route):
        # The message, which isn't read yet, may hold the handle.
        return None
    if passage.agent is None or route.user == "required":
        raise TokenError(Reason.TOKEN_MISSING, f"route {route.path} needs a token")
    return None


async def chain_of(gate: Gate, passage: Passage, route: Route) -> Chain:
    """The chain of what was presented, for this caller.

    Raises:
        HopError, TokenError: the caller may not begin or continue a chain with it (``core.delegation``).
        StoreError: the store of first presenters, or that of handles, can't be asked.
    """
    delegated = await _delegated(gate, passage, route)
    way: Way = "header"
    if delegated is not None and passage.presented is None:
        # From here on the handle counts as the token that it stands for.
        passage.presented, way = delegated, "trace"
    return await _chain_of(gate, passage, route, way)


async def _chain_of(gate: Gate, passage: Passage, route: Route, way: Way) -> Chain:
    agent, now, limits = passage.agent, passage.at // 1000, passage.limits
    match passage.presented:
        case RootToken() as root:
            delegation.may_begin(agent, root, route)
            proposed = delegation.proposed_binding(agent, root, crossing.new_txn(gate), now, limits)
            binding = await gate.bindings.bind(root.digest, proposed, now)
            return delegation.begin(agent, root, binding, now, limits)
        case HopToken() as token if agent is not None:
            crossing.check_origin(passage, token)
            return delegation.resume(agent, token, route, passage.snapshot.registry, now, way=way)
        case ExchangedToken() as issued if agent is not None and passage.exchange.peer is not None:
            crossing.check_origin(passage, issued)
            if passage.exchange.peer.gateway is not None:
                return crossing.brought(passage, issued, route, passage.exchange.peer.gateway)
            return exchange.presented(agent, issued, route, passage.exchange.peer, passage.snapshot.registry, now)
        case None if agent is not None and route.user == "required":
            raise TokenError(Reason.TOKEN_MISSING, f"route {route.path} needs a token, or the trace of a delegation")
        case None if agent is not None:
            return delegation.begin_without_user(agent, crossing.new_txn(gate), now, limits)
    raise HopError(Reason.CHAIN_HOLDER, "a hop token is continued over mutual TLS only")


async def _delegated(gate: Gate, passage: Passage, route: Route) -> HopToken | None:
    """The delegation that the handle in the request's trace stands for; None where none was sent.

    A handle that leads nowhere must not become the beginning of a shorter chain.

    Raises:
        HopError: HANDLE_UNKNOWN, CHAIN_CONFLICT.
        StoreError: the store of handles can't be asked.
    """
    agent, sent = passage.agent, handles.sent(passage)
    if agent is None or not sent:
        return None
    if not _takes_traces(agent, route):
        if passage.presented is None:
            raise HopError(Reason.HANDLE_UNKNOWN, f"agent {agent.name} may not continue chains by trace here")
        return None
    if len(sent) > 1:
        raise HopError(Reason.HANDLE_UNKNOWN, "the trace carries more than one handle")
    (handle,) = sent
    delegated = await handles.delegated(gate, agent.spiffe_id, handle, passage.at // 1000)
    if delegated is None:
        raise HopError(Reason.HANDLE_UNKNOWN, f"no chain of agent {agent.name} has the handle, or it is over")
    if not _agree(passage.presented, delegated, agent):
        raise HopError(Reason.CHAIN_CONFLICT, "the token is of another delegation than the handle in the trace")
    return delegated


def _agree(presented: Presented, delegated: HopToken, agent: Agent) -> bool:
    """Whether a request's token, if it has one, is of the delegation that its trace carries."""
    match presented:
        case None:
            return True
        case HopToken(digest=digest):
            return digest == delegated.digest
        case ExchangedToken(txn=txn, actors=actors):
            return (txn, actors) == (delegated.txn, (*delegated.actors, agent.spiffe_id))
    return False


def _takes_traces(agent: Agent | None, route: Route) -> bool:
    return agent is not None and "trace" in agent.continuation and "trace" in route.continuation


async def exchanged(
    gate: Gate, passage: Passage, subject: str, route: Route, requested: frozenset[str] | None
) -> Exchanged:
    """The chain of a subject token that the calling agent exchanges for one to use at ``route``.

    Raises:
        HopError, TokenError: it isn't a token of this gateway's, or not the agent's to exchange (``core.exchange``).
    """
    agent, now, snapshot = passage.agent, passage.at // 1000, passage.snapshot
    if agent is None:
        raise HopError(Reason.CHAIN_HOLDER, "only an agent exchanges a token")
    token = passage.edition.tokens.verify_own(subject, now)
    passage.presented = token
    crossing.check_origin(passage, token)
    return exchange.exchanged(agent, token, route, requested, snapshot.registry, now, snapshot.limits)


def at(route: Route, base: str) -> Route:
    """The route as clients of the listener at ``base`` name it."""
    return msgspec.structs.replace(route, resource=base + route.path)
