"""``issuers``: whose user tokens are accepted, and what they are worth here."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from msgspec import Meta

from gateway.config.problems import Fault
from gateway.config.section import Section
from gateway.config.words import FilePath, IdpName, Label, LoopbackOrHttpsUrl, Name, Scope

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Asymmetric JWS algorithms (RFC 7518 §3.1, RFC 8037); HS* and none can't prove an issuer and don't exist here."""


class ClaimNames(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which claims of the issuer's tokens are read."""

    email: Annotated[Label | None, Meta(description="Claim of the e-mail address; null: never read.")] = "email"
    roles: Annotated[Label | None, Meta(description="Claim of the list of roles; null: never read.")] = "roles"
    groups: Annotated[Label | None, Meta(description="Claim of the list of groups; null: never read.")] = "groups"
    client: Annotated[
        Label, Meta(description="Claim of the OAuth client that obtained the token; `client_id` where absent.")
    ] = "azp"


class IssuerSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One OIDC issuer. Exactly one of `discovery`, `jwks_uri` and `jwks_file` says where its keys are."""

    name: Annotated[IdpName, Meta(description="Short name; first half of every user's id, `<name>|<sub>`.")]
    issuer: Annotated[LoopbackOrHttpsUrl, Meta(description="The `iss` of its tokens, exactly as they spell it.")]
    discovery: Annotated[
        bool, Meta(description="Find the keys by the issuer's `/.well-known/openid-configuration`.")
    ] = False
    jwks_uri: Annotated[LoopbackOrHttpsUrl | None, Meta(description="Where the issuer's JWKS is fetched.")] = None
    jwks_file: Annotated[FilePath | None, Meta(description="A pinned JWKS; nothing is fetched.")] = None
    ca_file: Annotated[
        FilePath | None,
        Meta(description="PEM certificates trusted for the issuer's TLS, in place of the system's."),
    ] = None
    algorithms: Annotated[
        tuple[Algorithm, ...], Meta(min_length=1, description="Signature algorithms of the issuer; no others verify.")
    ] = ("RS256",)
    types: Annotated[
        tuple[Label, ...], Meta(min_length=1, description="Accepted `typ` headers; plain `JWT` only if listed.")
    ] = ("at+jwt", "application/at+jwt")
    audience: Annotated[
        Label | None, Meta(description="An audience accepted on every route, besides the route's own resource.")
    ] = None
    leeway_seconds: Annotated[int, Meta(ge=0, le=120, description="Clock difference that is tolerated.")] = 30
    scope_map: Annotated[
        Mapping[Scope, tuple[Scope, ...]],
        Meta(description="Scopes of the issuer's tokens → the gateway's scopes. An unmapped scope is worth nothing."),
    ] = {}
    ceiling: Annotated[
        tuple[Scope, ...],
        Meta(description="Gateway scopes that every token of this issuer has; for issuers without useful scopes."),
    ] = ()
    shared_by: Annotated[
        tuple[Name, ...],
        Meta(
            description="Agents that share its tokens: each begins a chain of its own with the same one. Of all others "
            "the first that presents a token is the only one."
        ),
    ] = ()
    claims: Annotated[ClaimNames, Meta(description="Names of the claims that are read.")] = ClaimNames()

    def faults(self) -> Iterable[Fault]:
        """One source of keys, and a token that is worth something."""
        given = [
            key
            for key, present in (
                ("discovery", self.discovery),
                ("jwks_uri", self.jwks_uri is not None),
                ("jwks_file", self.jwks_file is not None),
            )
            if present
        ]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            yield Fault(
                (),
                f"issuer {self.name} needs exactly one source of keys, found {found}",
                "set one of discovery: true, jwks_uri and jwks_file",
            )
        if not self.scope_map and not self.ceiling:
            yield Fault(
                (),
                f"tokens of issuer {self.name} have no scopes here, so every call with one is refused",
                "set scope_map, or ceiling",
                "warning",
            )
