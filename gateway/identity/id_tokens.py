"""Who logged in, by the ID token that the issuer's token endpoint answered (OIDC Core §3.1.3.7).

Its signature is checked although it came over TLS. Doesn't decide what the person may do.
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.errors import TokenError
from gateway.core.model import VerifiedClaims
from gateway.core.reasons import Reason
from gateway.identity.claims import check_issued, refused, seconds, text
from gateway.identity.jose import parse_compact
from gateway.identity.tokens import TrustedIssuer

MAX_BYTES = 16 * 1024


async def subject_of(token: str, trusted: TrustedIssuer, client_id: str, nonce: str, now: int) -> str:
    """The ``sub`` of a login as ``client_id`` that was asked for with ``nonce``.

    Raises:
        TokenError: it isn't one of this issuer, for this client, for this request, or not of now.
    """
    jws, issuer = parse_compact(token, MAX_BYTES), trusted.issuer
    if jws.algorithm not in issuer.algorithms:
        raise TokenError(Reason.TOKEN_SIGNATURE, f"alg is none that issuer {issuer.name} is configured for")
    await trusted.keys.verify(jws, now)
    claims = VerifiedClaims(jws.claims)
    if claims.get("iss") != issuer.issuer:
        raise TokenError(Reason.TOKEN_ISSUER, "the ID token is another issuer's")
    _check_audience(claims, client_id)
    check_issued(claims, now, issuer.leeway_seconds)
    if now >= seconds(claims, "exp") + issuer.leeway_seconds:
        raise TokenError(Reason.TOKEN_EXPIRED, "the ID token is expired")
    if claims.get("nonce") != nonce:
        raise refused("the ID token is of another login (nonce)")
    return text(claims, "sub")


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    only = audience == client_id or audience == [client_id]
    if not only or claims.get("azp", client_id) != client_id:
        raise TokenError(Reason.TOKEN_AUDIENCE, "the ID token is for another client")
