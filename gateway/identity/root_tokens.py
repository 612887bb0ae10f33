"""What the verified claims of an OIDC issuer's token say: the person, the client and the scopes (TOKENS §2).

The signature has been verified; audience, times and types are judged here. Doesn't decide who may present
the token (``core.delegation``).
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.errors import TokenError
from gateway.core.model import Peer, RootToken, Route, User, VerifiedClaims
from gateway.core.reasons import Reason
from gateway.identity.claims import check_issued, optional_text, refused, scopes, seconds, text, texts
from gateway.identity.issuers import Issuer

NOT_ACCESS_TOKEN = ("nonce", "at_hash", "c_hash", "s_hash", "events")
"""Claims of ID tokens, logout tokens and security events, which must not pass where ``typ`` is plain JWT."""
NOT_ACCESS_TYPES = frozenset({"id", "refresh", "offline", "logout"})


def read_root_token(
    claims: VerifiedClaims, issuer: Issuer, route: Route, digest: str, now: int, peer: Peer | None
) -> RootToken:
    """The root token of verified ``claims``.

    ``peer`` is who presents it: a certificate-bound token (``cnf``, RFC 8705 §3) needs to be theirs.

    Raises:
        TokenError: TOKEN_TYPE, TOKEN_AUDIENCE, TOKEN_EXPIRED, TOKEN_CLAIMS.
    """
    _check_kind(claims)
    _check_audience(claims, {route.resource, issuer.audience or route.resource})
    check_issued(claims, now, issuer.leeway_seconds)
    expires = seconds(claims, "exp")
    if now >= expires + issuer.leeway_seconds:
        raise TokenError(Reason.TOKEN_EXPIRED, "the token is expired")
    _check_binding(claims, peer)
    names = issuer.claims
    client = "client_id" if claims.get(names.client) is None else names.client
    return RootToken(
        user=User(
            issuer=issuer.issuer,
            idp=issuer.name,
            subject=text(claims, "sub"),
            email=optional_text(claims, names.email),
            roles=texts(claims, names.roles),
            groups=texts(claims, names.groups),
        ),
        client=text(claims, client),
        scopes=issuer.scopes(_token_scopes(claims)),
        expires=expires,
        digest=digest,
        jti=optional_text(claims, "jti"),
        shared_by=issuer.shared_by,
    )


def _check_kind(claims: Mapping[str, Any]) -> None:
    kind = claims.get("typ")
    if any(name in claims for name in NOT_ACCESS_TOKEN) or (isinstance(kind, str) and kind.lower() in NOT_ACCESS_TYPES):
        raise TokenError(Reason.TOKEN_TYPE, "its claims are those of an ID, refresh or logout token")


def _check_audience(claims: Mapping[str, Any], accepted: set[str]) -> None:
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        # RFC 7519 §4.1.3 lets issuers write one audience as an array.
        audience = audience[0]
    if not isinstance(audience, str) or audience not in accepted:
        raise TokenError(Reason.TOKEN_AUDIENCE, "aud is not exactly this route's resource or the issuer's audience")


def _check_binding(claims: Mapping[str, Any], peer: Peer | None) -> None:
    if "cnf" not in claims:
        return
    if peer is None or peer.proof != "x509-svid" or claims["cnf"] != {"x5t#S256": peer.x5t}:
        raise refused("the token is bound to a key (cnf) that is not the presenting certificate's")


def _token_scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    if "scope" in claims or "scp" not in claims:
        return scopes(claims, "scope")
    # Some issuers call it scp, and write a list.
    return scopes(claims, "scp") if isinstance(claims["scp"], str) else frozenset(texts(claims, "scp"))
