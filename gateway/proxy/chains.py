"""From a request's credentials to the chain that it begins or continues. The only place that accepts them."""

import msgspec

from gateway.core import ancestry, delegation, exchange
from gateway.core.errors import HopError, TokenError
from gateway.core.exchange import Exchanged
from gateway.core.model import Chain, ExchangedToken, Hop, HopToken, Presented, RootToken, Route, Way
from gateway.core.ports import Binding
from gateway.core.reasons import Reason
from gateway.core.registry import Agent
from gateway.proxy import crossing, handles
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.revoked import keys_after, keys_before


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
    if _takes_traces(passage, route):
        # The message, which isn't read yet, may hold the handle.
        return None
    if passage.agent is None or route.user == "required":
        raise TokenError(Reason.TOKEN_MISSING, f"route {route.path} needs a token")
    return None


async def chain_of(gate: Gate, passage: Passage, route: Route) -> Chain:
    """The chain of what was presented, for this caller; nothing of it is revoked.

    Raises:
        HopError, TokenError: the caller may not begin or continue a chain with it (``core.delegation``), or it is
            revoked, or nobody can tell (``proxy.revoked``).
        StoreError: the store of first presenters, of live chains or of handles can't be asked.
    """
    registry = passage.snapshot.registry
    delegated = await _delegated(gate, passage, route)
    way: Way = "header"
    if delegated is not None and passage.presented is None:
        # From here on the handle counts as the token that it stands for.
        passage.presented, way = delegated, "trace"
    # Before anything is bound: what is revoked leaves no trace but its record.
    await gate.revoked.check(keys_before(passage.presented, passage.agent, route, registry))
    chain = await _chain_of(gate, passage, route, way)
    await gate.revoked.check(keys_after(chain, passage.presented, route, registry))
    return chain


async def _chain_of(gate: Gate, passage: Passage, route: Route, way: Way) -> Chain:
    agent, now, limits = passage.agent, passage.at // 1000, passage.limits
    match passage.presented:
        case RootToken() as root:
            delegation.may_begin(agent, root, route)
            binding = await _bound(gate, passage, root)
            return await _suspected(gate, passage, delegation.begin(agent, root, binding, now, limits))
        case HopToken() as token if agent is not None and not _by_token(passage):
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
            chain = delegation.begin_without_user(agent, crossing.new_txn(gate), now, limits)
            return await _suspected(gate, passage, chain)
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
    if not _takes_traces(passage, route):
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


def _takes_traces(passage: Passage, route: Route) -> bool:
    agent = passage.agent
    able = agent is not None and not _by_token(passage) and "trace" in agent.continuation
    return able and "trace" in route.continuation


def _by_token(passage: Passage) -> bool:
    """Whether a token alone proves the caller: who steals both has the chain."""
    return passage.exchange.peer is not None and passage.exchange.peer.proof == "jwt-svid"


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
    crossing.check_redeemed(passage, token)
    await gate.revoked.check(keys_before(token, agent, route, snapshot.registry))
    made = exchange.exchanged(agent, token, route, requested, snapshot.registry, now, snapshot.limits)
    await gate.revoked.check(keys_after(made.chain, token, route, snapshot.registry))
    return made


def at(route: Route, base: str) -> Route:
    """The route as clients of the listener at ``base`` name it."""
    return msgspec.structs.replace(route, resource=base + route.path)


async def join(gate: Gate, passage: Passage, hop: Hop) -> None:
    """Remember, before it is called, that the agent which gets the hop's token takes part in the chain.

    Raises:
        StoreError: it can't be remembered; nothing may be forwarded.
    """
    part = ancestry.delegated(hop, passage.snapshot.registry)
    if part is not None:
        await gate.live_chains.join(part, passage.at // 1000)


async def _suspected(gate: Gate, passage: Passage, chain: Chain) -> Chain:
    """``chain``, just begun, with what its agent takes part in besides; one that can't be called takes part in none."""
    agent, registry = passage.agent, passage.snapshot.registry
    if agent is None or agent.upstream is None:
        return chain
    live = await gate.live_chains.of(agent.spiffe_id, ancestry.suspects(chain), passage.at // 1000)
    chain = ancestry.begun(chain, live)
    mode = ancestry.mode(chain, registry)
    if mode is not None:
        gate.metrics.live_ancestry(mode)
    return chain


async def _bound(gate: Gate, passage: Passage, root: RootToken) -> Binding:
    """The binding of the token to its first presenter; another presenter is one to look at."""
    agent, now = passage.agent, passage.at // 1000
    proposed = delegation.proposed_binding(agent, root, crossing.new_txn(gate), now, passage.limits)
    binding = await gate.bindings.bind(root.digest, proposed, now)
    if delegation.shares(agent, root, binding):
        binding = await gate.bindings.bind(f"{root.digest}/{proposed.agent}", proposed, now)
    if binding.agent != proposed.agent:
        gate.metrics.alerted(Reason.ROOT_TOKEN_BOUND)
        detail = f"{proposed.agent} presented the token with which {binding.agent} began {binding.txn}"
        gate.refusals.refused(Reason.ROOT_TOKEN_BOUND, source=passage.id, detail=detail, event="alert")
    return binding
