"""The assertion grant (RFC 7523): a peer gateway redeems its assertion for a token to one route here (TOKENS §3).

The order is: a peer's own certificate, a genuine assertion, what of it counts here, nothing of it revoked, used for
the first time, its ``txn`` nobody else's, recorded; then the token. Doesn't decide the call that the token is for:
that is decided when it comes.
"""

from gateway.core import federation
from gateway.core.errors import HopError, TokenError
from gateway.core.federation import Assertion, PeerGateway
from gateway.core.model import Chain, Minted, Peer, Route
from gateway.core.reasons import Reason
from gateway.identity.signer import EXCHANGED_TOKEN_TYPE
from gateway.protocols.token_request import TokenRequest, invalid
from gateway.proxy import crossing
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.oauth.grant import Grant, Issued
from gateway.proxy.oauth.issuing import Made, hand_out, target
from gateway.proxy.revoked import keys_after

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
    route = target(passage, request)
    found, peer = await edition.assertions.verify(request.need("assertion"), client, route.resource, now)
    chain = federation.transcribe(found, peer, snapshot.registry, snapshot.trust_domain, now, passage.limits)
    await gate.revoked.check(keys_after(chain, None, route, snapshot.registry))
    await _spend(gate, found, peer, now)
    chain = await crossing.bound(gate, chain, found.root_expires, now)
    user = federation.foreign_user(chain.sub, peer)
    made = Made(route, chain, user, _mint(gate, passage, client, route, chain))
    speaking = federation.spoken_for(chain.actors[-1], client)
    return await hand_out(gate, passage, speaking, made, action=ACTION, grant="assertion")


GRANT = Grant(issue, ACTION, credential="invalid_grant")


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
