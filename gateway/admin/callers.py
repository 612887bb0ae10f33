"""Who calls the admin API: a person by an OIDC token, an agent by its SVID, or the gateway's own user on its socket.

A token wins over a certificate. Hop tokens are nobody's here. Doesn't decide what the caller may do.
"""

from collections.abc import Mapping

from msgspec import Struct

from gateway.admin.edition import AdminEdition
from gateway.admin.request import AdminRequest
from gateway.core import delegation
from gateway.core.administration import Principal
from gateway.core.audit import AdminCaller
from gateway.core.errors import TokenError
from gateway.core.model import Peer, RootToken, Route, User
from gateway.core.reasons import Reason
from gateway.core.registry import Agent


class Known(Struct, frozen=True):
    """A verified caller; ``principal`` is None on the socket, where no policy is asked."""

    caller: AdminCaller
    principal: Principal | None


async def caller_of(request: AdminRequest, headers: Mapping[str, str], edition: AdminEdition, now: int) -> Known:
    """Who sent the request. ``now`` in Unix seconds.

    Raises:
        TokenError: TOKEN_MISSING, or what the token is refused for.
        HopError: AGENT_UNREGISTERED, AGENT_SUSPENDED, CERTIFICATE_EXPIRED.
    """
    if request.socket is not None:
        peer = request.socket
        return Known(AdminCaller(id=f"socket:{peer.uid}", via="socket", name=peer.name, process=peer.process), None)
    if request.vouched is not None:
        return Known(*request.vouched)
    authorization = headers.get("authorization")
    if authorization is not None:
        user = await _person(authorization, edition, now, request.peer)
        return Known(AdminCaller(id=user.sub, via="oidc", roles=user.roles, groups=user.groups), user)
    if request.peer is None:
        raise TokenError(Reason.TOKEN_MISSING, "show an agent's certificate, or send an admin token")
    agent = delegation.calling_agent(request.peer, edition.registry, now)
    return Known(_workload(agent, request.peer), agent)


async def _person(authorization: str, edition: AdminEdition, now: int, peer: Peer | None) -> User:
    if edition.tokens is None:
        raise TokenError(Reason.TOKEN_ISSUER, "no issuer is configured for the admin API (listen.admin.issuers)")
    # The verifier compares the audience with a route's resource; to an issuer the admin API is one.
    route = Route("mcp", "admin", "/api", edition.audience, edition.audience)
    token = await edition.tokens.verify(authorization, route, now, peer=peer)
    if not isinstance(token, RootToken):
        raise TokenError(Reason.TOKEN_ISSUER, "a hop token administers nothing")
    return token.user


def _workload(agent: Agent, peer: Peer) -> AdminCaller:
    return AdminCaller(id=agent.spiffe_id, via="mtls", name=agent.name, groups=agent.groups, x5t=peer.x5t)
