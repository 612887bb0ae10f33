"""``federation``: the gateways of other trust domains that chains come from and go to, and their trust bundles.

Everything that decides whom to believe is written here; nothing is inferred from a name, a document or a token.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from msgspec import Meta

from gateway.config.problems import Fault
from gateway.config.section import Section
from gateway.config.words import (
    FilePath,
    HttpsUrl,
    IdpName,
    Name,
    OriginUrl,
    Scope,
    SpiffeIdText,
    SqliteUrl,
    TrustDomain,
    WebUrl,
)


class PeerSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway of another trust domain. Exactly one of `jwks_file` and `jwks_uri` says where its keys are."""

    issuer: Annotated[OriginUrl, Meta(description="Its `issuer`, exactly as its own settings spell it.")]
    trust_domain: Annotated[TrustDomain, Meta(description="Its SPIFFE trust domain.")]
    spiffe_id: Annotated[
        SpiffeIdText,
        Meta(description="SPIFFE ID of the gateway itself; only it may redeem its assertions and bring its chains."),
    ]
    token_endpoint: Annotated[
        HttpsUrl, Meta(description="Where this gateway redeems assertions, `<its public_url>/oauth/token`.")
    ]
    jwks_file: Annotated[FilePath | None, Meta(description="Its pinned JWKS; nothing is fetched.")] = None
    jwks_uri: Annotated[
        HttpsUrl | None,
        Meta(description="Its JWKS, fetched by mutual TLS from the holder of `spiffe_id` and nobody else."),
    ] = None
    trust_domains: Annotated[
        tuple[TrustDomain, ...],
        Meta(description="Other trust domains whose agents it may vouch for, besides `trust_domain`."),
    ] = ()
    users: Annotated[
        Mapping[IdpName, WebUrl],
        Meta(description="Names of the issuers whose users it may speak for → their `iss`. Other users are refused."),
    ] = {}
    scopes: Annotated[
        Mapping[Scope, tuple[Scope, ...]],
        Meta(description="Its scopes → this gateway's. An unmapped scope is worth nothing."),
    ] = {}
    max_depth: Annotated[
        int, Meta(ge=1, le=64, description="Most agents of a chain at the moment that it comes in.")
    ] = 4
    audit: Annotated[
        SqliteUrl | None,
        Meta(description="Its audit store, where this host can read it: for `hopgate audit show --follow`."),
    ] = None

    def faults(self) -> Iterable[Fault]:
        """One source of keys, a gateway of its own domain, and a peer that is worth something."""
        if (self.jwks_file is None) == (self.jwks_uri is None):
            found = "none" if self.jwks_file is None else "both"
            hint = "set jwks_file to its pinned keys, or jwks_uri to fetch them by mutual TLS"
            yield Fault((), f"a peer needs exactly one source of keys, found {found}", hint)
        domain = self.spiffe_id.removeprefix("spiffe://").partition("/")[0]
        if domain != self.trust_domain:
            message = f"the gateway is of trust domain {domain}, not of {self.trust_domain}"
            yield Fault(("spiffe_id",), message, "correct spiffe_id or trust_domain")
        for index, other in enumerate(self.trust_domains):
            if other == self.trust_domain or other in self.trust_domains[:index]:
                yield Fault(("trust_domains", index), f"{other} is named already", "remove it", "warning")


class BundleSource(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the trust bundle of another domain is fetched (SPIFFE Federation), and how far it is believed."""

    url: Annotated[HttpsUrl, Meta(description="Its bundle endpoint. Redirects are not followed.")]
    profile: Annotated[
        Literal["https_web", "https_spiffe"],
        Meta(description="How the endpoint proves itself: by a web certificate, or by an SVID."),
    ]
    ca_file: Annotated[FilePath | None, Meta(description="For `https_web`: PEM roots in place of the system's.")] = None
    spiffe_id: Annotated[
        SpiffeIdText | None, Meta(description="For `https_spiffe`: the SPIFFE ID that the endpoint must prove.")
    ] = None
    bootstrap: Annotated[
        FilePath | None,
        Meta(
            description="For `https_spiffe`: PEM roots of the endpoint's domain for the first fetch; not needed where "
            "the gateway's own source has them."
        ),
    ] = None
    least_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="Least time after a good fetch, whatever the document hints at.")
    ] = 60
    most_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="Most time after a good fetch, whatever the document hints at.")
    ] = 3600
    stale_seconds: Annotated[
        int,
        Meta(ge=1, le=2_592_000, description="How long the last good bundle serves while no newer one can be had."),
    ] = 86_400

    def faults(self) -> Iterable[Fault]:
        """Each profile has what it needs and nothing of the other's."""
        if self.profile == "https_spiffe" and self.spiffe_id is None:
            hint = "add spiffe_id: spiffe://<trust domain>/<path>"
            yield Fault(("spiffe_id",), "profile https_spiffe needs the SPIFFE ID of the endpoint", hint)
        unused = {"https_web": ("spiffe_id", "bootstrap"), "https_spiffe": ("ca_file",)}[self.profile]
        for key in unused:
            if getattr(self, key) is not None:
                yield Fault((key,), f"{key} has no meaning for profile {self.profile}", "remove it")
        if self.least_seconds > self.most_seconds:
            yield Fault(("least_seconds",), "least_seconds is over most_seconds", "make it smaller")
        if self.stale_seconds < self.most_seconds:
            message = "the bundle would be stale before it is fetched again"
            yield Fault(("stale_seconds",), message, "make it larger than most_seconds")


class OwnBundle(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway's own trust bundle, for others to fetch."""

    serve: Annotated[
        bool, Meta(description="Whether `<issuer>/.well-known/spiffe-bundle` serves the bundle of the own domain.")
    ] = False
    refresh_hint_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="How often others are asked to fetch it (`spiffe_refresh_hint`).")
    ] = 300


class FederationSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other trust domains: their gateways, and their trust bundles."""

    peers: Annotated[Mapping[Name, PeerSettings], Meta(description="Short name → peer gateway.")] = {}
    bundles: Annotated[
        Mapping[TrustDomain, BundleSource],
        Meta(description="Trust domain → where its bundle is fetched; it replaces one of the gateway's own source."),
    ] = {}
    own_bundle: OwnBundle = OwnBundle()

    def faults(self) -> Iterable[Fault]:
        """No two peers that could be taken for one another."""
        for key in ("issuer", "spiffe_id", "trust_domain"):
            seen: dict[str, str] = {}
            for name, peer in self.peers.items():
                first = seen.setdefault(getattr(peer, key), name)
                if first != name:
                    yield Fault(("peers", name, key), f"this {key} is already that of {first}", "change one of the two")
        users: dict[str, tuple[str, str]] = {}
        for name, peer in self.peers.items():
            for idp, issuer in peer.users.items():
                first, known = users.setdefault(idp, (name, issuer))
                if known != issuer:
                    message = f"peer {first} has another issuer by the name {idp}: {known}"
                    yield Fault(("peers", name, "users", idp), message, "one of the two has to rename its issuer")
