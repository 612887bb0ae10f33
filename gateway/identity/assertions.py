"""Assertions of peer gateways (RFC 7523): genuine or not, and what they say of a chain (TOKENS §3).

Only the issuer, its configured keys and the type are believed to be read; then every claim is typed, and the chain must
agree with itself. Doesn't decide what of it counts here (``core.federation``) or whether it was used before.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.core.errors import TokenError
from gateway.core.federation import ASSERTION_SECONDS, Assertion, PeerGateway
from gateway.core.model import Peer
from gateway.core.reasons import Reason
from gateway.identity.claims import check_issued, count, scopes, seconds, text
from gateway.identity.hop_tokens import bound_certificate, check_chain, read_actors
from gateway.identity.jose import UnverifiedJws, parse_compact
from gateway.identity.keysets import KeySet

ASSERTION_TYPE = "hopgate-chain+jwt"
"""``typ`` of an assertion: no access token is one, and none passes for one."""
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LEEWAY_SECONDS = 30
"""How far a peer's clock may be ahead; none is added to the end."""


class TrustedPeer(Struct, frozen=True):
    """A peer gateway and its keys."""

    gateway: PeerGateway
    keys: KeySet


class AssertionVerifier:
    """Verifies assertions of the configured peer gateways for this gateway's own issuer ``own``."""

    def __init__(self, peers: Mapping[str, TrustedPeer], own: str, max_bytes: int = 8192) -> None:
        self._peers = peers
        """By ``iss``."""
        self._own = own
        self._max_bytes = max_bytes

    async def verify(self, token: str, presenter: Peer, resource: str, now: int) -> tuple[Assertion, PeerGateway]:
        """The assertion that ``presenter`` redeems for a token for ``resource``, at ``now`` (Unix seconds).

        Raises:
            TokenError: a TOKEN_* or CHAIN_* reason, or KEYS_UNAVAILABLE. The detail never quotes the token.
        """
        jws = parse_compact(token, self._max_bytes)
        claimed = jws.claims.get("iss")
        peer = self._peers.get(claimed) if isinstance(claimed, str) else None
        if peer is None:
            raise TokenError(Reason.TOKEN_ISSUER, f"iss {str(claimed)[:200]!r} is no configured peer gateway")
        if jws.type != ASSERTION_TYPE:
            raise TokenError(Reason.TOKEN_TYPE, f"typ is not {ASSERTION_TYPE}")
        await peer.keys.verify(jws, now)
        found = read_assertion(jws, self._own, now)
        if presenter.spiffe_id != peer.gateway.spiffe_id or found.x5t != presenter.x5t:
            raise TokenError(Reason.CHAIN_HOLDER, f"the assertion is not {presenter.spiffe_id}'s to redeem")
        if found.resource != resource:
            raise TokenError(Reason.TOKEN_AUDIENCE, f"the assertion is for {found.resource}")
        return found, peer.gateway


def read_assertion(jws: UnverifiedJws, audience: str, now: int) -> Assertion:
    """The assertion of a JWS whose signature is verified.

    Raises:
        TokenError: TOKEN_AUDIENCE, TOKEN_EXPIRED, TOKEN_CLAIMS, CHAIN_FORGED or CHAIN_EXPIRED.
    """
    claims = jws.claims
    if claims.get("aud") != audience:
        raise TokenError(Reason.TOKEN_AUDIENCE, "aud is not this gateway's issuer, as one string")
    expires, root_expires = _life(claims, now)
    actors = read_actors(claims.get("act"))
    depth, max_depth = count(claims, "del_depth"), count(claims, "del_max_depth")
    check_chain(claims, actors, depth, max_depth)
    text(claims, "jti")
    return Assertion(
        issuer=text(claims, "iss"),
        sub=text(claims, "sub"),
        resource=text(claims, "resource"),
        actors=actors,
        txn=text(claims, "txn"),
        ceiling=scopes(claims, "del_scope"),
        depth=depth,
        max_depth=max_depth,
        root_expires=root_expires,
        expires=expires,
        x5t=bound_certificate(claims),
        digest=jws.digest,
    )


def _life(claims: Mapping[str, Any], now: int) -> tuple[int, int]:
    """``exp`` and ``root_exp``."""
    check_issued(claims, now, LEEWAY_SECONDS)
    issued, expires, root_expires = seconds(claims, "iat"), seconds(claims, "exp"), seconds(claims, "root_exp")
    if not issued < expires <= min(issued + ASSERTION_SECONDS, root_expires):
        raise TokenError(
            Reason.TOKEN_CLAIMS, f"an assertion lives at most {ASSERTION_SECONDS} s, and not past root_exp"
        )
    if now >= expires:
        raise TokenError(Reason.TOKEN_EXPIRED, "the assertion is expired; check the clocks of both gateways")
    return expires, root_expires
