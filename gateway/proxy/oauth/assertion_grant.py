"""The assertion grant (RFC 7523): a peer gateway redeems its assertion for a token to one route here (TOKENS §3).

The order is: a peer's own certificate, a genuine assertion, what of it counts here, nothing of it revoked, used for
the first time, its ``txn`` nobody else's, recorded; then the token. Doesn't decide the call that the token is for:
that is decided when it comes.
"""

from gateway.core import federation
from gateway.core.audit.issued import Issue, issued_outcome, issued_record
from gateway.core.errors import HopError, StoreError, TokenError
from gateway.core.federation import Assertion, PeerGateway
from gateway.core.model import Chain, Minted, Peer, Route, Uid
from gateway.core.reasons import Reason
from gateway.identity.signer import EXCHANGED_TOKEN_TYPE
from gateway.protocols.token_request import TokenRequest, invalid
from gateway.proxy import chains, crossing
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.oauth.grant import Grant, Issued
from gateway.proxy.revoked import keys_after
from gateway.telemetry import semconv

ACTION = "federateChain"


async def issue(gate: Gate, passage: Passage, client: Peer, request: TokenRequest) -> Issued:
    """The token that a peer gateway brings a chain with.

    Raises:
        HopError, TokenError: whatever the assertion is refused for.
        StoreError: a store can't be asked, or the record is not durable; nothing is issued.
    """
    snapshot, edition, now = passage.snapshot, passage.edition, passage.at // 1000
    if client.spiffe_id not in snapshot.peers:
        raise HopError(Reason.AGENT_UNREGISTERED, f"{client.spiffe_id} is no configured peer gateway")
    if now >= client.not_after:
        raise HopError(Reason.CERTIFICATE_EXPIRED, client.spiffe_id)
    if request.get("scope") is not None:
        raise invalid("scope is in the assertion; send no other")
    route = _target(passage, request)
    found, peer = await edition.assertions.verify(request.need("assertion"), client, route.resource, now)
    chain = federation.transcribe(found, peer, snapshot.registry, snapshot.trust_domain, now, passage.limits)
    await gate.revoked.check((("agent", "", client.spiffe_id), *keys_after(chain, None, route, snapshot.registry)))
    await _spend(gate, found, peer, now)
    chain = await crossing.bound(gate, chain, found.root_expires, now)
    minted = _mint(gate, passage, client, route, chain)
    await _record(gate, passage, federation.spoken_for(chain.actors[-1], client), route, chain, peer, minted)
    gate.metrics.minted()
    _describe(gate, passage, route, chain)
    return Issued(minted.token, minted.expires - now, minted.scope)


GRANT = Grant(issue, ACTION, credential="invalid_grant")


def _target(passage: Passage, request: TokenRequest) -> Route:
    base, wanted = passage.edition.bases["data"], request.need("resource")
    route = passage.snapshot.routes.get(wanted.removeprefix(base)) if wanted.startswith(base) else None
    if route is None:
        raise HopError(Reason.TARGET_UNKNOWN, "resource is not the URI of a route of this gateway")
    return chains.at(route, base)


async def _spend(gate: Gate, found: Assertion, peer: PeerGateway, now: int) -> None:
    if not await gate.single_use.spend(f"assertion:{found.digest}", found.expires, now):
        raise TokenError(Reason.ASSERTION_SPENT, f"peer {peer.name} has redeemed this assertion before")


def _mint(gate: Gate, passage: Passage, client: Peer, route: Route, chain: Chain) -> Minted:
    edition, now, jti = passage.edition, passage.at // 1000, gate.new_id()
    claims = federation.access_claims(
        chain, route.resource, issuer=edition.issuer, jti=jti, x5t=client.x5t, now=now, limits=passage.limits
    )
    token = edition.signer.sign(claims, EXCHANGED_TOKEN_TYPE)
    return Minted(token, jti, claims["exp"], chain.ceiling, chain.ceiling)


async def _record(
    gate: Gate, passage: Passage, caller: Peer, route: Route, chain: Chain, peer: PeerGateway, minted: Minted
) -> None:
    snapshot = passage.snapshot
    issued = Issue(
        id=passage.id,
        now=passage.at,
        peer=caller,
        user=federation.foreign_user(chain.sub, peer),
        action=ACTION,
        grant="assertion",
        route=route.name,
        resource=Uid("McpServer" if route.protocol == "mcp" else "Agent", route.name),
        chain=chain,
        minted=minted,
        bundle=snapshot.bundle.digest,
        generation=snapshot.generation,
        trace_id=passage.span(gate.tracing).trace_id,
    )
    with gate.metrics.stage("audit"):
        await gate.audit.append(issued_record(issued, snapshot.registry))
    try:
        await gate.audit.append(issued_outcome(issued, len(minted.token), passage.milliseconds))
    except StoreError as lost:
        gate.log.error("outcome not recorded", decision_id=passage.id, reason=lost.reason, detail=lost.detail)


def _describe(gate: Gate, passage: Passage, route: Route, chain: Chain) -> None:
    span = passage.span(gate.tracing)
    span.rename(f"{ACTION} {route.name}")
    span.set(
        {
            semconv.HOPGATE_ACTION: ACTION,
            semconv.HOPGATE_ROUTE: route.path,
            semconv.HOPGATE_SUBJECT: chain.sub,
            semconv.HOPGATE_TXN: chain.txn,
            semconv.HOPGATE_DEPTH: chain.depth,
            semconv.HOPGATE_ACTORS: chain.actors,
            semconv.HOPGATE_VIA: chain.via,
            semconv.HTTP_RESPONSE_STATUS_CODE: 200,
        }
    )
