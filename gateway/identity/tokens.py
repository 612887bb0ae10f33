"""Bearer tokens: which are real, and what they say (TOKENS §2–3).

The order is: well-formed, known issuer, its algorithm and type, its key's signature, then claims. The
unverified part of a token chooses only among configured issuers and their configured keys. Doesn't decide
who may present a token, or what it allows (``core.delegation``, policy).
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy

from msgspec import Struct

from gateway.core.errors import TokenError
from gateway.core.model import ExchangedToken, HopToken, Peer, RootToken, Route, VerifiedClaims
from gateway.core.reasons import Reason
from gateway.identity.hop_tokens import read_exchanged_token, read_hop_token
from gateway.identity.issuers import Issuer
from gateway.identity.jose import UnverifiedJws, parse_compact
from gateway.identity.jwks import Keys
from gateway.identity.keysets import KeySet
from gateway.identity.root_tokens import read_root_token
from gateway.identity.signer import EXCHANGED_TOKEN_TYPE, HOP_TOKEN_TYPE, always


class TrustedIssuer(Struct, frozen=True):
    """An OIDC issuer and its keys."""

    issuer: Issuer
    keys: KeySet


class OwnIssuer(Struct, frozen=True):
    """The gateway as the issuer of hop tokens: its ``iss`` and ``Signer.verification_keys``."""

    issuer: str
    keys: Keys
    leeway_seconds: int = 30
    require: Callable[[], None] = always
    """Raises where the keys may not be used at present."""


class TokenVerifier:
    """Verifies bearer tokens of the configured issuers and of the gateway itself.

    ``foreign`` are issuers of users that peer gateways speak for, by name: known in chains, never asked for keys.

    Raises:
        ValueError: two issuers share an ``iss`` or a name.
    """

    def __init__(
        self,
        issuers: Sequence[TrustedIssuer],
        own: OwnIssuer,
        max_bytes: int = 8192,
        foreign: Mapping[str, str] | None = None,
    ) -> None:
        self._own = own
        self._max_bytes = max_bytes
        self._issuers = {trusted.issuer.issuer: trusted for trusted in issuers}
        self._idps = {trusted.issuer.name: trusted.issuer.issuer for trusted in issuers}
        if len(self._issuers) != len(issuers) or len(self._idps) != len(issuers) or own.issuer in self._issuers:
            raise ValueError("two issuers share an iss or a name; each must be the only one")
        self._known_idps = {**(foreign or {}), **self._idps}

    def under(self, own: OwnIssuer) -> "TokenVerifier":
        """The same for user tokens, with other keys of the gateway's own."""
        other = copy(self)
        other._own = own
        return other

    async def verify(
        self, authorization: str, route: Route, now: int, *, peer: Peer | None = None
    ) -> RootToken | HopToken | ExchangedToken:
        """The token of an ``Authorization`` header, verified for ``route`` at ``now`` (Unix seconds).

        ``peer`` is the presenting workload, if any: a certificate-bound user token must be bound to it.

        Raises:
            TokenError: a TOKEN_* or CHAIN_* reason, or KEYS_UNAVAILABLE. The detail never quotes the token.
            StoreError: the gateway's own keys can't be told at present.
        """
        jws = parse_compact(_bearer(authorization), self._max_bytes)
        claimed = jws.claims.get("iss")
        if claimed == self._own.issuer:
            return self._verify_own(jws, now)
        trusted = self._issuers.get(claimed) if isinstance(claimed, str) else None
        if trusted is None:
            raise TokenError(Reason.TOKEN_ISSUER, f"iss is {str(claimed)[:200]!r}")
        issuer = trusted.issuer
        if jws.algorithm not in issuer.algorithms:
            raise TokenError(Reason.TOKEN_SIGNATURE, f"alg is none that issuer {issuer.name} is configured for")
        if jws.type not in issuer.accepted_types:
            raise TokenError(Reason.TOKEN_TYPE, f"typ is none that is accepted from issuer {issuer.name}")
        await trusted.keys.verify(jws, now)
        return read_root_token(VerifiedClaims(jws.claims), issuer, route, jws.digest, now, peer)

    def verify_own(self, token: str, now: int) -> HopToken | ExchangedToken:
        """A token of the gateway itself, verified at ``now``; of nobody else.

        Raises:
            TokenError: TOKEN_ISSUER for a user's token, or as ``verify``.
        """
        jws = parse_compact(token, self._max_bytes)
        if jws.claims.get("iss") != self._own.issuer:
            detail = "only tokens of this gateway are exchanged; a user's token is presented at the route itself"
            raise TokenError(Reason.TOKEN_ISSUER, detail)
        return self._verify_own(jws, now)

    def _verify_own(self, jws: UnverifiedJws, now: int) -> HopToken | ExchangedToken:
        self._own.require()
        if jws.kid is None or not self._own.keys.verify(jws):
            raise TokenError(Reason.TOKEN_SIGNATURE, "no key of this gateway verifies the token")
        claims, leeway = VerifiedClaims(jws.claims), self._own.leeway_seconds
        if jws.type == EXCHANGED_TOKEN_TYPE:
            return read_exchanged_token(claims, self._known_idps, jws.digest, now, leeway)
        if jws.type != HOP_TOKEN_TYPE:
            raise TokenError(Reason.TOKEN_TYPE, "it is no hop token")
        return read_hop_token(claims, self._known_idps, jws.digest, now, leeway)


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise TokenError(Reason.TOKEN_MALFORMED, "the Authorization scheme is not Bearer")
    return token.lstrip(" ")
