"""From a request's credentials to the chain that it begins or continues. The only place that accepts them."""

from gateway.core import ancestry, delegation
from gateway.core.errors import HopError, TokenError
from gateway.core.model import Chain, Hop, HopToken, Presented, RootToken, Route
from gateway.core.ports import Binding
from gateway.core.reasons import Reason
from gateway.proxy.gate import Gate, Passage


async def present(passage: Passage, route: Route) -> Presented:
    """The verified token of the request, or None where the route does without.

    Raises:
        TokenError: TOKEN_MISSING, or what the token is refused for.
    """
    authorization = passage.headers.get("authorization")
    if authorization is not None:
        now, peer = passage.at // 1000, passage.exchange.peer
        return await passage.edition.tokens.verify(authorization, route, now, peer=peer)
    if passage.agent is None or route.user == "required":
        raise TokenError(Reason.TOKEN_MISSING, f"route {route.path} needs a token")
    return None


async def chain_of(gate: Gate, passage: Passage, route: Route) -> Chain:
    """The chain of what was presented, for this caller.

    Raises:
        HopError, TokenError: the caller may not begin or continue a chain with it (``core.delegation``).
        StoreError: the store of first presenters or of live chains can't be asked.
    """
    agent, now, limits = passage.agent, passage.at // 1000, passage.limits
    match passage.presented:
        case RootToken() as root:
            delegation.may_begin(agent, root, route)
            binding = await _bound(gate, passage, root)
            return await _suspected(gate, passage, delegation.begin(agent, root, binding, now, limits))
        case HopToken() as token if agent is not None:
            return delegation.resume(agent, token, route, passage.snapshot.registry, now)
        case None if agent is not None:
            return await _suspected(gate, passage, delegation.begin_without_user(agent, gate.new_id(), now, limits))
    raise HopError(Reason.CHAIN_HOLDER, "a hop token is continued over mutual TLS only")


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
    proposed = delegation.proposed_binding(agent, root, gate.new_id(), now, passage.limits)
    binding = await gate.bindings.bind(root.digest, proposed, now)
    if delegation.shares(agent, root, binding):
        binding = await gate.bindings.bind(f"{root.digest}/{proposed.agent}", proposed, now)
    if binding.agent != proposed.agent:
        gate.metrics.alerted(Reason.ROOT_TOKEN_BOUND)
        detail = f"{proposed.agent} presented the token with which {binding.agent} began {binding.txn}"
        gate.refusals.refused(Reason.ROOT_TOKEN_BOUND, source=passage.id, detail=detail, event="alert")
    return binding
