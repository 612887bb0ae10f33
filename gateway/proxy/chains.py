"""From a request's credentials to the chain that it begins or continues. The only place that accepts them."""

from gateway.core import delegation
from gateway.core.errors import HopError, TokenError
from gateway.core.model import Chain, HopToken, Presented, RootToken, Route
from gateway.core.reasons import Reason
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.revoked import keys_after, keys_before


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
    """The chain of what was presented, for this caller; nothing of it is revoked.

    Raises:
        HopError, TokenError: the caller may not begin or continue a chain with it (``core.delegation``), or it is
            revoked, or nobody can tell (``proxy.revoked``).
        StoreError: the store of first presenters can't be asked.
    """
    registry, presented = passage.snapshot.registry, passage.presented
    # Before anything is bound: what is revoked leaves no trace but its record.
    await gate.revoked.check(keys_before(presented, passage.agent, route, registry))
    chain = await _chain_of(gate, passage, route)
    await gate.revoked.check(keys_after(chain, presented, route, registry))
    return chain


async def _chain_of(gate: Gate, passage: Passage, route: Route) -> Chain:
    agent, now, limits = passage.agent, passage.at // 1000, passage.limits
    match passage.presented:
        case RootToken() as root:
            delegation.may_begin(agent, root, route)
            proposed = delegation.proposed_binding(agent, root, gate.new_id(), now, limits)
            binding = await gate.bindings.bind(root.digest, proposed, now)
            return delegation.begin(agent, root, binding, now, limits)
        case HopToken() as token if agent is not None:
            return delegation.resume(agent, token, route, passage.snapshot.registry, now)
        case None if agent is not None:
            return delegation.begin_without_user(agent, gate.new_id(), now, limits)
    raise HopError(Reason.CHAIN_HOLDER, "a hop token is continued over mutual TLS only")
