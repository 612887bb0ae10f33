"""What the verified claims of the gateway's own tokens say: the chain so far (TOKENS §3).

Every claim is typed, and the chain must agree with itself. As proof of the chain a token serves until
``root_exp``, past its ``exp``, which is for the upstream. Doesn't decide who may continue the chain: holder
and audience are ``core.delegation``'s and ``core.exchange``'s to check.
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.errors import TokenError
from gateway.core.model import ExchangedToken, HopToken, SpiffeId, User, VerifiedClaims
from gateway.core.reasons import Reason
from gateway.core.spiffe import SCHEME, parse_spiffe_id
from gateway.identity.claims import check_issued, count, optional_text, refused, scopes, seconds, text, texts

MAX_ACTORS = 64


def read_hop_token(claims: VerifiedClaims, idps: Mapping[str, str], digest: str, now: int, leeway: int) -> HopToken:
    """The hop token of verified ``claims``. ``idps`` maps the short name of each configured issuer to its ``iss``.

    Raises:
        TokenError: CHAIN_FORGED, CHAIN_EXPIRED, TOKEN_CLAIMS, TOKEN_EXPIRED (not yet valid), TOKEN_ISSUER.
    """
    facts = _facts(claims, idps, digest, now, leeway)
    # It binds the token to the gateway as the upstream's client; a continuing holder proves itself by its audience.
    bound_certificate(claims)
    return HopToken(**facts)


def read_exchanged_token(
    claims: VerifiedClaims, idps: Mapping[str, str], digest: str, now: int, leeway: int
) -> ExchangedToken:
    """The token of the token endpoint in verified ``claims``; otherwise as ``read_hop_token``."""
    facts = _facts(claims, idps, digest, now, leeway)
    if not facts["actors"]:
        raise _forged("a token of the token endpoint without an actor")
    return ExchangedToken(**facts, x5t=bound_certificate(claims))


def _facts(claims: Mapping[str, Any], idps: Mapping[str, str], digest: str, now: int, leeway: int) -> dict[str, Any]:
    """The fields of a ``ChainToken``."""
    check_issued(claims, now, leeway)
    expires, root_expires = seconds(claims, "exp"), seconds(claims, "root_exp")
    actors = read_actors(claims.get("act"))
    depth, max_depth = count(claims, "del_depth"), count(claims, "del_max_depth")
    check_chain(claims, actors, depth, max_depth)
    if not seconds(claims, "iat") <= expires <= root_expires:
        raise _forged("iat, exp and root_exp are out of order")
    if now >= root_expires:
        raise TokenError(Reason.CHAIN_EXPIRED, "the chain reached root_exp")
    scopes(claims, "scope")
    return {
        "sub": text(claims, "sub"),
        "audience": text(claims, "aud"),
        "actors": actors,
        "txn": text(claims, "txn"),
        "ceiling": scopes(claims, "del_scope"),
        "depth": depth,
        "max_depth": max_depth,
        "root_expires": root_expires,
        "expires": expires,
        "digest": digest,
        "user": _user(claims, idps),
        "purpose": _purpose(claims),
        "via": _via(claims),
        "jti": text(claims, "jti"),
        "parent": optional_text(claims, "par_hash"),
    }


def read_actors(act: object) -> tuple[SpiffeId, ...]:
    """Actors of a nested ``act`` (RFC 8693 §4.1), entry agent first: innermost is first, outermost current.

    Raises:
        TokenError: CHAIN_FORGED.
    """
    found: list[SpiffeId] = []
    while act is not None:
        if not isinstance(act, dict) or act.keys() - {"sub", "act"} or len(found) == MAX_ACTORS:
            raise _forged("act is not a chain of actors")
        try:
            found.append(parse_spiffe_id(text(act, "sub")))
        except ValueError:
            raise _forged("an actor is no SPIFFE ID") from None
        act = act.get("act")
    return tuple(reversed(found))


def check_chain(claims: Mapping[str, Any], actors: tuple[SpiffeId, ...], depth: int, max_depth: int) -> None:
    """Check that the claims of a chain agree with each other.

    Raises:
        TokenError: CHAIN_FORGED.
    """
    client = text(claims, "client_id")
    if depth != len(actors):
        raise _forged("del_depth is not the number of actors")
    if depth > max_depth:
        raise _forged("del_depth is over del_max_depth")
    if actors and client != actors[-1]:
        raise _forged("client_id is not the current actor")
    if not actors and client.startswith(SCHEME):
        raise _forged("client_id is a workload, but there is no actor")
    sub = text(claims, "sub")
    if sub.startswith(SCHEME) and (not actors or sub != actors[0]):
        raise _forged("sub is a workload other than the entry agent")


def _user(claims: Mapping[str, Any], idps: Mapping[str, str]) -> User | None:
    sub = text(claims, "sub")
    if sub.startswith(SCHEME):
        return None
    idp, bar, subject = sub.partition("|")
    if not bar or not subject:
        raise refused("claim sub is neither <idp>|<subject> nor a SPIFFE ID")
    if idp not in idps:
        raise TokenError(Reason.TOKEN_ISSUER, f"the user's issuer {idp[:64]!r} is not configured any more")
    return User(
        issuer=idps[idp],
        idp=idp,
        subject=subject,
        email=optional_text(claims, "email"),
        roles=texts(claims, "roles"),
        groups=texts(claims, "groups"),
    )


def bound_certificate(claims: Mapping[str, Any]) -> str:
    """``x5t#S256`` of the certificate that the token is bound to (RFC 8705 §3.1).

    Raises:
        TokenError: TOKEN_CLAIMS.
    """
    binding = claims.get("cnf")
    if not isinstance(binding, dict) or binding.keys() != {"x5t#S256"}:
        raise refused("claim cnf is not a certificate thumbprint")
    return text(binding, "x5t#S256")


def _via(claims: Mapping[str, Any]) -> SpiffeId | None:
    via = optional_text(claims, "via")
    try:
        return None if via is None else parse_spiffe_id(via)
    except ValueError:
        raise _forged("via is no SPIFFE ID") from None


def _purpose(claims: Mapping[str, Any]) -> str | None:
    context = claims.get("tctx")
    if context is None:
        return None
    if not isinstance(context, dict):
        raise refused("claim tctx is not an object")
    return optional_text(context, "purpose")


def _forged(detail: str) -> TokenError:
    return TokenError(Reason.CHAIN_FORGED, detail)
