"""The assertion grant (RFC 7523): a peer gateway redeems its assertion for a token to one route here (TOKENS §3).

The order is: a peer's own certificate, a genuine assertion, what of it counts here, used for the first time, its
``txn`` nobody else's; then the token. Doesn't decide the call that the token is for: that is decided when it comes.
"""

from gateway.core import federation
from gateway.core.errors import HopError, TokenError
from gateway.core.federation import Assertion, PeerGateway
from gateway.core.model import Peer, Route
from gateway.core.reasons import Reason
from gateway.protocols.token_request import TokenRequest
from gateway.proxy import crossing
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.oauth.grant import Grant, Issued

ACTION = "federate"


async def issue(gate: Gate, passage: Passage, client: Peer, request: TokenRequest) -> Issued:
    """The token that a peer gateway brings a chain with.

    Raises:
        HopError, TokenError: whatever the assertion is refused for.
        StoreError: the store can't be asked; nothing is issued.
    """
    snapshot, edition, now = passage.snapshot, passage.edition, passage.at // 1000
    if client.spiffe_id not in snapshot.peers:
        raise HopError(Reason.AGENT_UNREGISTERED, f"{client.spiffe_id} is no configured peer gateway")
    if now >= client.not_after:
        raise HopError(Reason.CERTIFICATE_EXPIRED, client.spiffe_id)
    route = _route(passage, request.need("resource"))
    token = request.need("assertion")
    found, peer = await edition.assertions.verify(token, client, route.resource, now)
    limits, registry = passage.limits, snapshot.registry
    chain = federation.transcribe(found, peer, registry, snapshot.trust_domain, now, limits)
    requested = request.scopes()
    scope = federation.outgoing_ceiling(chain, route, registry)
    if requested is not None:
        scope &= requested
    await _spend(gate, found, peer, now)
    chain = await crossing.bound(gate, chain, found.root_expires, now)
    jti = gate.new_id()
    claims = federation.access_claims(
        chain, route.resource, scope, client, issuer=edition.issuer, jti=jti, now=now, limits=limits
    )
    gate.metrics.minted()
    return Issued(edition.signer.sign(claims), claims["exp"] - now, scope)


def _route(passage: Passage, resource: str) -> Route:
    base = passage.edition.bases["data"]
    route = passage.snapshot.routes.get(resource.removeprefix(base)) if resource.startswith(base) else None
    if route is None:
        raise HopError(Reason.TARGET_UNKNOWN, "resource is the URI of no route here")
    return route


async def _spend(gate: Gate, found: Assertion, peer: PeerGateway, now: int) -> None:
    if not await gate.single_use.spend(f"assertion:{found.digest}", found.expires, now):
        raise TokenError(Reason.ASSERTION_SPENT, f"peer {peer.name} has redeemed this assertion before")


GRANT = Grant(issue, action=ACTION, credential="invalid_grant")
