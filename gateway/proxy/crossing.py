"""Chains on their way to and from the gateways of other trust domains (TOKENS §3, identity chaining).

Out: the token of a permitted hop is an assertion, redeemed at the peer for a token of its own, which is what is
forwarded. In: a peer gateway presents only tokens that it redeemed here, and speaks for the chain's last agent. What
may cross is ``core.federation``'s to say; redeeming at this gateway is ``oauth.assertion_grant``'s.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from gateway.core import delegation, federation
from gateway.core.errors import HopError, TokenError, UpstreamError
from gateway.core.federation import PeerGateway
from gateway.core.model import Chain, ChainToken, ExchangedToken, Grant, Hop, Minted, Presented, Route, SpiffeId
from gateway.core.ports import Binding
from gateway.core.reasons import Reason
from gateway.core.registry import Upstream
from gateway.identity.assertions import ASSERTION_TYPE, GRANT_TYPE
from gateway.identity.jose import strict_object
from gateway.identity.seal import keyed_digest
from gateway.protocols.base import JSON, Outgoing, trace_headers
from gateway.protocols.token_request import FORM
from gateway.proxy.gate import Gate, Passage, client_of
from gateway.telemetry import semconv

KNOWN = frozenset(reason.value for reason in Reason)
TAG_CHARS = 8
"""Hex digits at the end of an own chain's id by which it is recognised: 32 bits."""
KEPT_SECONDS = 86_400
"""Longest time that the id of a chain from elsewhere is kept."""


def is_gateway(passage: Passage) -> bool:
    """Whether the caller is the gateway of another trust domain."""
    peer = passage.exchange.peer
    return peer is not None and peer.spiffe_id in passage.snapshot.peers


async def present(passage: Passage, route: Route) -> Presented:
    """The token that a peer gateway brings. From here on the caller is the agent that it speaks for.

    Raises:
        TokenError: TOKEN_MISSING, or what the token is refused for.
        HopError: CHAIN_HOLDER, it is no token that this gateway redeemed here; or the agent's standing.
    """
    authorization, peer = passage.headers.get("authorization"), passage.exchange.peer
    if authorization is None or peer is None:
        raise TokenError(Reason.TOKEN_MISSING, "a peer gateway brings a chain only with a token that it redeemed here")
    token = await passage.edition.tokens.verify(authorization, route, passage.at // 1000, peer=peer)
    if not isinstance(token, ExchangedToken) or (token.via, token.x5t) != (peer.spiffe_id, peer.x5t):
        raise HopError(Reason.CHAIN_HOLDER, f"{peer.spiffe_id} did not redeem this token by this certificate")
    speaking = federation.spoken_for(token.actors[-1], peer)
    passage.exchange = msgspec.structs.replace(passage.exchange, peer=speaking)
    passage.agent = delegation.calling_agent(speaking, passage.snapshot.registry, passage.at // 1000)
    return token


def check_origin(passage: Passage, token: ChainToken) -> None:
    """Check that whoever vouched for the token's chain is still believed.

    Raises:
        HopError: CHAIN_FORGED.
    """
    federation.check_origin(token.via, passage.snapshot.peers)


def check_redeemed(passage: Passage, token: ChainToken) -> None:
    """Check that what a peer gateway redeemed is exchanged by nobody.

    Raises:
        HopError: CHAIN_HOLDER.
    """
    if passage.exchange.peer is not None:
        federation.check_redeemed(token, passage.exchange.peer, passage.snapshot.trust_domain)


def brought(passage: Passage, token: ExchangedToken, route: Route, via: SpiffeId) -> Chain:
    """The chain that the peer gateway ``via`` brings with ``token``.

    Raises:
        HopError, TokenError: it may not come in (``core.federation``).
    """
    snapshot, now = passage.snapshot, passage.at // 1000
    return federation.enter(token, snapshot.peers[via], route, snapshot.registry, snapshot.trust_domain, now)


def new_txn(gate: Gate) -> str:
    """The id of a chain that begins here, recognised as such by every instance that shares the sealing secret."""
    random = gate.new_id()[:-TAG_CHARS]
    return random + _tag(gate, random)


async def bound(gate: Gate, chain: Chain, claimed_end: int, now: int) -> Chain:
    """A peer's chain, its id kept to where it began: a peer must not hang its own calls into somebody else's chain.

    It ends when it was to end as it crossed first, however often a peer brings it. ``claimed_end`` (Unix seconds) is
    when it ends by what it says itself: until then its id is kept.

    Raises:
        HopError: CHAIN_FORGED, a chain with its id began elsewhere.
        TokenError: CHAIN_EXPIRED.
        StoreError: the store can't be asked.
    """
    if chain.txn[-TAG_CHARS:] == _tag(gate, chain.txn[:-TAG_CHARS]):
        raise HopError(Reason.CHAIN_FORGED, "the chain's txn is of a chain that began here")
    origin = f"{chain.via} {chain.sub} {chain.actors[0]}"
    kept = max(chain.root_expires, min(claimed_end, now + KEPT_SECONDS))
    binding = await gate.bindings.bind(f"txn:{chain.txn}", Binding(origin, chain.txn, chain.root_expires, kept), now)
    if binding.agent != origin:
        raise HopError(Reason.CHAIN_FORGED, "a chain with this txn began elsewhere")
    root_expires = min(chain.root_expires, binding.root_expires)
    if now >= root_expires:
        raise TokenError(Reason.CHAIN_EXPIRED, "the chain reached the end that it had when it first came in")
    return msgspec.structs.replace(chain, root_expires=root_expires)


def _tag(gate: Gate, random: str) -> str:
    return keyed_digest(gate.digest_key, f"txn {random}".encode())[:TAG_CHARS]


def gateway_of(passage: Passage, route: Route) -> PeerGateway | None:
    """The peer gateway behind ``route``; None where the upstream is of this side.

    Raises:
        UpstreamError: the registry names a peer that isn't configured.
    """
    upstream = passage.snapshot.registry.upstream_of(route)
    if upstream is None or upstream.gateway is None:
        return None
    peer = passage.snapshot.peer_named(upstream.gateway)
    if peer is None:
        raise UpstreamError(Reason.UPSTREAM_UNREACHABLE, f"no peer gateway is named {upstream.gateway}")
    return peer


def assertion(gate: Gate, passage: Passage, hop: Hop, wanted: frozenset[str], peer: PeerGateway) -> Minted:
    """The assertion by which ``peer`` goes on with the chain of a permitted hop.

    Raises:
        HopError: ENTRY_POINT_REQUIRED, IDENTITY_UNAVAILABLE.
    """
    edition = passage.edition
    ceiling = federation.outgoing_ceiling(hop.chain, hop.route, passage.snapshot.registry)
    x5t, jti = client_of(gate, passage).x5t, gate.new_id()
    claims = federation.assertion_claims(
        hop, peer, ceiling, issuer=edition.issuer, jti=jti, x5t=x5t, limits=passage.limits
    )
    token = edition.signer.sign_bytes(msgspec.json.encode(claims), {"typ": ASSERTION_TYPE})
    return Minted(token, jti, claims["exp"], wanted, ceiling, peer.spiffe_id)


async def redeemed(gate: Gate, passage: Passage, grant: Grant) -> Grant:
    """The grant with the peer's own token in place of the assertion; as it is where the upstream is of this side.

    Raises:
        UpstreamError: PEER_REFUSED, or the peer can't be asked.
    """
    peer, minted = gateway_of(passage, grant.hop.route), grant.minted
    if peer is None or minted is None:
        return grant
    with passage.span(gate.tracing).child(semconv.SPAN_REDEEM) as span:
        form = {"grant_type": GRANT_TYPE, "assertion": minted.token, "resource": grant.hop.route.audience}
        headers = (("Content-Type", FORM), ("Accept", JSON), *trace_headers(span.traceparent()))
        outgoing = Outgoing("POST", "", headers, urlencode(form).encode())
        upstream = Upstream(peer.token_endpoint, peer.spiffe_id)
        answer = await gate.upstreams.redeem(grant, upstream, outgoing, client_of(gate, passage), passage.limits)
        try:
            document = _document(peer, await answer.body()) if answer.kind == "json" else {}
        finally:
            answer.close()
    token = document.get("access_token")
    if answer.status != 200 or not isinstance(token, str) or str(document.get("token_type")).lower() != "bearer":
        raise UpstreamError(Reason.PEER_REFUSED, f"peer gateway {peer.name}: {_cause(answer.status, document)}")
    return msgspec.structs.replace(grant, minted=msgspec.structs.replace(minted, token=token))


def _document(peer: PeerGateway, body: bytes) -> Mapping[str, Any]:
    try:
        return strict_object(body)
    except ValueError as error:
        raise UpstreamError(Reason.UPSTREAM_MALFORMED, f"peer gateway {peer.name}: {error}") from None


def _cause(status: int, document: Mapping[str, Any]) -> str:
    """Why a peer gave no token: its reason where it is one of the closed list, and nothing else of its words."""
    reason = document.get("reason")
    return f"{reason}" if status != 200 and reason in KNOWN else f"its token endpoint answered {status} without a token"
