"""Public keys of a JWKS (RFC 7517), each bound to the algorithms that its issuer is configured for.

A key that doesn't fit, is weak, or isn't for signatures doesn't exist here; symmetric keys never do. So an
algorithm of a token can only select among keys made for it. Doesn't fetch (``identity.keysets``).
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from gateway.core.recent import Recent
from gateway.identity.issuers import ALGORITHMS
from gateway.identity.jose import UnverifiedJws, strict_object

MIN_RSA_BITS = 2048
MAX_KEYS = 64
REMEMBERED = 4096
"""Genuine signatures that are not computed again; the oldest make room."""
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class Keys:
    """The usable keys of one JWKS. Frozen after construction, but for the signatures it has found genuine."""

    def __init__(self, jwks: Iterable[Any], algorithms: Iterable[str]) -> None:
        allowed = tuple(algorithms)
        self._keys: tuple[tuple[str | None, PyJWK], ...] = tuple(
            (kid, key) for jwk in jwks if isinstance(jwk, dict) for kid, key in _bound(jwk, allowed)
        )
        self._genuine = Recent[bytes, bool](REMEMBERED)

    def __len__(self) -> int:
        return len(self._keys)

    def knows(self, kid: str | None) -> bool:
        """Whether any key has this id; a token without one is taken to be known."""
        return kid is None or any(kid == known for known, _ in self._keys)

    def verify(self, jws: UnverifiedJws) -> bool:
        """Whether a key of the token's ``kid`` and ``alg`` made its signature.

        A token without ``kid`` verifies only where exactly one key fits its ``alg``.
        """
        # Of the signature too: the same claims with another signature are another question.
        token = hashlib.sha256(jws.signing_input + b"." + jws.signature).digest()
        if self._genuine.get(token):
            return True
        if not self._computed(jws):
            return False
        self._genuine.put(token, True)
        return True

    def _computed(self, jws: UnverifiedJws) -> bool:
        fitting = [
            key
            for kid, key in self._keys
            if key.algorithm_name == jws.algorithm and (jws.kid is None or kid == jws.kid)
        ]
        if jws.kid is None and len(fitting) != 1:
            return False
        return any(key.Algorithm.verify(jws.signing_input, key.key, jws.signature) for key in fitting)


def read_jwks(document: bytes, algorithms: Iterable[str]) -> Keys:
    """The usable keys of a JWKS document; none is a valid answer (the issuer withdrew them).

    Raises:
        ValueError: it is no JWKS.
    """
    jwks = strict_object(document).get("keys")
    if not isinstance(jwks, list):
        raise ValueError("it has no list of keys")
    if len(jwks) > MAX_KEYS:
        raise ValueError(f"it has more than {MAX_KEYS} keys")
    return Keys(jwks, algorithms)


def _bound(jwk: Mapping[str, Any], algorithms: tuple[str, ...]) -> Iterable[tuple[str | None, PyJWK]]:
    kid = jwk.get("kid")
    if not (kid is None or isinstance(kid, str)) or PRIVATE_MEMBERS & jwk.keys():
        # A published private key proves nothing any more.
        return
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return
    for algorithm in algorithms:
        key_type, curve = ALGORITHMS[algorithm]
        if jwk.get("kty") != key_type or jwk.get("alg", algorithm) != algorithm:
            continue
        if curve is not None and jwk.get("crv") != curve:
            continue
        key = _parsed(jwk, algorithm)
        if key is not None:
            yield kid, key


def _parsed(jwk: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    try:
        key = PyJWK(dict(jwk), algorithm)
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
        return None
    weak = isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS
    return None if weak else key
