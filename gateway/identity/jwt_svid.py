"""JWT-SVIDs: whether a token proves a SPIFFE ID, and whether it was presented before (JWT-SVID §§3–4, TOKENS §1).

The order is: well-formed, its algorithm, a SPIFFE ID of a trust domain that has a bundle, the signature by that
domain's bundle only, then audience and times. It is a bearer token, so it serves one route, for minutes, once. Doesn't
say which routes take one (``proxy.workloads``), or what the workload may do.
"""

from collections.abc import Mapping

from msgspec import Struct

from gateway.core.errors import HopError, TokenError
from gateway.core.model import Peer
from gateway.core.ports import SingleUse
from gateway.core.reasons import Reason
from gateway.core.spiffe import parse_spiffe_id, trust_domain_of
from gateway.identity.claims import check_issued, seconds
from gateway.identity.jose import UnverifiedJws, parse_compact, strict_object
from gateway.identity.jwks import MAX_KEYS, Keys

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
"""JWT-SVID §2.1: these and no others."""
TYPES = frozenset({"", "jwt", "jose"})
"""JWT-SVID §2.3."""
USES = frozenset({None, "jwt-svid", "sig"})
LEEWAY_SECONDS = 30
NONCE_CHARS = 64
_NONCE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


class JwtBundles:
    """Trust domain → the keys that sign its JWT-SVIDs, as they are now. A domain's keys never vouch for another."""

    def __init__(self) -> None:
        self._keys: Mapping[str, Keys] = {}

    def publish(self, keys: Mapping[str, Keys]) -> None:
        """Use these from now on, and no others."""
        self._keys = keys

    def of(self, domain: str) -> Keys | None:
        """The keys of ``domain``; None where there is no bundle."""
        return self._keys.get(domain)


class JwtSvid(Struct, frozen=True):
    """A verified JWT-SVID. ``digest`` is what it is spent by."""

    peer: Peer
    digest: str


class JwtSvids:
    """Verifies and spends JWT-SVIDs of at most ``max_bytes`` that live no longer than ``max_seconds`` from now."""

    def __init__(self, bundles: JwtBundles, single_use: SingleUse, max_seconds: int, max_bytes: int = 8192) -> None:
        self._bundles = bundles
        self._single_use = single_use
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes

    def verify(self, token: str, resource: str, now: int) -> JwtSvid:
        """Who presents ``token`` for ``resource`` at ``now`` (Unix seconds). It isn't spent by that.

        Its one audience is ``resource``, or that with a fragment of the caller's choice: Workload APIs keep a JWT-SVID
        for its audience, so who calls often asks for another one each time.

        Raises:
            HopError: WORKLOAD_TOKEN. The detail never quotes the token.
        """
        try:
            return self._verified(parse_compact(token, self._max_bytes), resource, now)
        except TokenError as error:
            raise _refused(error.detail) from None

    async def spend(self, svid: JwtSvid, now: int) -> None:
        """Let it serve now and never again.

        Raises:
            HopError: WORKLOAD_TOKEN_SPENT.
            StoreError: the store can't be asked.
        """
        expires = svid.peer.not_after + LEEWAY_SECONDS
        if not await self._single_use.spend(f"jwt-svid:{svid.digest}", expires, now):
            raise HopError(Reason.WORKLOAD_TOKEN_SPENT, f"the JWT-SVID of {svid.peer.spiffe_id} was presented before")

    def _verified(self, jws: UnverifiedJws, resource: str, now: int) -> JwtSvid:
        if jws.algorithm not in ALGORITHMS:
            raise _refused("its alg is none of a JWT-SVID's")
        if jws.type not in TYPES:
            raise _refused("its typ is not a JWT-SVID's")
        try:
            spiffe_id = parse_spiffe_id(str(jws.claims.get("sub")))
        except ValueError as error:
            raise _refused(f"its sub is no SPIFFE ID: {error}") from None
        domain = trust_domain_of(spiffe_id)
        keys = self._bundles.of(domain)
        if keys is None:
            raise _refused(f"there is no bundle of JWT authorities for {domain}")
        if not keys.verify(jws):
            raise _refused(f"no JWT authority of {domain} verifies it")
        _check_audience(jws.claims.get("aud"), resource)
        expires = seconds(jws.claims, "exp")
        if now >= expires + LEEWAY_SECONDS:
            raise _refused("it is expired")
        if expires > now + self._max_seconds + LEEWAY_SECONDS:
            raise _refused(f"it lives longer than {self._max_seconds} s from now; configure a shorter JWT-SVID TTL")
        # JWT-SVID §3 asks for no iat; one from the future is nobody's.
        check_issued({"iat": 0, **jws.claims}, now, LEEWAY_SECONDS)
        return JwtSvid(Peer(spiffe_id, domain, x5t="", not_after=expires, proof="jwt-svid"), jws.digest)


def read_bundle(document: bytes) -> Keys:
    """The JWT authorities of a SPIFFE bundle (SPIFFE Trust Domain and Bundle §4) or of a plain JWKS.

    Raises:
        ValueError: it is neither.
    """
    keys = strict_object(document).get("keys")
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise ValueError(f"it has no list of at most {MAX_KEYS} keys")
    return bundle_of(keys)


def bundle_of(jwks: list[object]) -> Keys:
    """The JWT authorities among ``jwks``; a bundle's X.509 authorities are none."""
    authorities = [jwk for jwk in jwks if isinstance(jwk, dict) and jwk.get("use") in USES]
    return Keys([{name: jwk[name] for name in jwk if name != "use"} for jwk in authorities], ALGORITHMS)


def _check_audience(audience: object, resource: str) -> None:
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    if isinstance(audience, str):
        named, _, nonce = audience.partition("#")
        if named == resource and len(nonce) <= NONCE_CHARS and _NONCE.issuperset(nonce):
            return
    raise _refused("its aud is not exactly this route's resource")


def _refused(detail: str) -> HopError:
    return HopError(Reason.WORKLOAD_TOKEN, detail)
