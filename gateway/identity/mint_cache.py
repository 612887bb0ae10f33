"""Hop tokens signed once for claims that are equal but for ``iat``, ``nbf``, ``exp`` and ``jti`` (TOKENS §3).

A token that is used again says exactly what a fresh one would. Doesn't decide whose token may be used again: the caller
says so. Never remembers a token for longer than it serves, across a key's rotation or a change of what is revoked.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.identity.signer import Signer

OWN = frozenset({"iat", "nbf", "exp", "jti"})
"""Claims that are of one token, not of what it says."""
BOUND = "authorization_details"
"""RFC 9396: a token for exactly these arguments is never used again."""


class Signed(Struct, frozen=True):
    """A hop token as it may be sent, and when it ends (Unix seconds). ``token`` is a secret."""

    token: str
    jti: str
    expires: int
    reused: bool

    def __repr__(self) -> str:
        return f"Signed(jti={self.jti!r}, reused={self.reused})"


class MintCache:
    """The last ``most`` tokens; the one that was used longest ago makes room."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Signed] = OrderedDict()
        self._kid = ""
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._kept)

    def signed(
        self, signer: Signer, claims: Mapping[str, Any], *, most: int, margin_seconds: int, epoch: int = 0
    ) -> Signed:
        """A token of ``claims`` by ``signer``: one signed before, if it serves ``margin_seconds`` from ``iat`` on.

        ``epoch`` is of the revocations in force: whenever it changes, all that was signed before is forgotten.

        Raises:
            HopError: the keys may not be used at present, for a new token or an earlier one.
        """
        signer.require()
        self._forget_for(signer.kid, epoch)
        if most == 0 or BOUND in claims:
            return _sign(signer, claims)
        key = digest(claims)
        found = self._kept.get(key)
        if found is not None and found.expires - int(claims["iat"]) >= margin_seconds:
            self._kept.move_to_end(key)
            return found
        made = _sign(signer, claims)
        self._kept[key] = Signed(made.token, made.jti, made.expires, reused=True)
        self._kept.move_to_end(key)
        while len(self._kept) > most:
            self._kept.popitem(last=False)
        return made

    def _forget_for(self, kid: str, epoch: int) -> None:
        if (kid, epoch) != (self._kid, self._epoch):
            self._kept.clear()
            self._kid, self._epoch = kid, epoch


def digest(claims: Mapping[str, Any]) -> bytes:
    """SHA-256 of all that the token says, whatever the order of its claims."""
    said = {name: value for name, value in claims.items() if name not in OWN}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).digest()


def _sign(signer: Signer, claims: Mapping[str, Any]) -> Signed:
    return Signed(signer.sign(claims), claims["jti"], claims["exp"], reused=False)
