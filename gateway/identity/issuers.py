"""Whose tokens are accepted, as values. ``app`` builds them from the configuration.

Decides only that an issuer is well defined. Doesn't fetch (``identity.keysets``) or verify (``identity.tokens``).
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""Algorithm → key type and curve (RFC 7518 §3.1, RFC 8037). Only public-key ones: a key can't serve two kinds."""

_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class Discovery(Struct, frozen=True):
    """Find ``jwks_uri`` in the issuer's metadata (OIDC Discovery §4, or RFC 8414 §3)."""


class JwksUri(Struct, frozen=True):
    """Fetch the keys from this URL."""

    url: str


class JwksFile(Struct, frozen=True):
    """Read the keys from this file; nothing is fetched."""

    path: Path


KeySource = Discovery | JwksUri | JwksFile


class ClaimNames(Struct, frozen=True, kw_only=True):
    """Names of the claims that are read; None is never read."""

    email: str | None = "email"
    roles: str | None = "roles"
    groups: str | None = "groups"
    client: str = "azp"
    """Falls back to ``client_id`` (RFC 9068 §2.2) where absent."""


class Issuer(Struct, frozen=True, kw_only=True):
    """One OIDC issuer and what its tokens are worth.

    Raises:
        ValueError: an algorithm that is no public-key one, none at all, or an unusable name.
    """

    name: str
    """The ``idp`` of its users: short, of ``[a-z0-9-]``, so that no user's ``sub`` can look like a SPIFFE ID."""
    issuer: str
    """``iss``, compared exactly."""
    source: KeySource
    algorithms: tuple[str, ...] = ("RS256",)
    types: tuple[str, ...] = ("at+jwt",)
    audience: str | None = None
    """An audience accepted on every route, besides the route's own resource."""
    leeway_seconds: int = 30
    scope_map: Mapping[str, tuple[str, ...]] = {}
    ceiling: tuple[str, ...] = ()
    shared_by: frozenset[str] = frozenset()
    """Agents that share its tokens: each begins a chain of its own."""
    claims: ClaimNames = ClaimNames()
    ca_file: Path | None = None
    """Trusted for the issuer's TLS in place of the system's roots."""
    loopback_http: bool = False
    """Whether plain http to a loopback address is fetched; false in production."""

    def __post_init__(self) -> None:
        unknown = [algorithm for algorithm in self.algorithms if algorithm not in ALGORITHMS]
        if unknown or not self.algorithms:
            raise ValueError(f"issuer {self.name}: algorithms {unknown} are not public-key signatures")
        if not self.name or not _NAME_CHARS.issuperset(self.name):
            raise ValueError(f"issuer name {self.name!r} is not of a-z 0-9 -, as the first half of a user's id must be")

    @property
    def accepted_types(self) -> frozenset[str]:
        """``types`` in lower case and without ``application/``."""
        return frozenset(name.lower().removeprefix("application/") for name in self.types)

    def scopes(self, token_scopes: frozenset[str]) -> frozenset[str]:
        """What token scopes are worth here: unmapped ones are worth nothing."""
        mapped = (self.scope_map.get(scope, ()) for scope in token_scopes)
        return frozenset(self.ceiling).union(*mapped)
