"""``upstream.oauth`` and ``upstream.credential`` of a registry file: how a third party's server is asked.

Deliberately holds references to secrets, never secrets.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta

from gateway.config.problems import Fault
from gateway.config.section import Section
from gateway.config.words import FilePath, HeaderName, Label, LoopbackOrHttpsUrl, Scope, SecretReference, WebUrl


class ApiKeyEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret that the upstream expects in a header."""

    header: Annotated[HeaderName, Meta(description="The header, e.g. `X-Api-Key` or `Authorization`.")]
    value: Annotated[
        SecretReference, Meta(description="Reference to the header's whole value, e.g. `env:TRACKER_API_KEY`.")
    ]


class OauthEntry(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway as an OAuth client of the third party's authorization server."""

    grant: Annotated[
        Literal["client_credentials", "authorization_code"],
        Meta(
            description="`client_credentials`: one token for the gateway; `authorization_code`: one for each user, "
            "who consents in a browser."
        ),
    ]
    issuer: Annotated[
        LoopbackOrHttpsUrl,
        Meta(description="The authorization server. No other may issue, whatever the upstream's metadata says."),
    ]
    token_endpoint: Annotated[
        LoopbackOrHttpsUrl | None,
        Meta(description="Found by the issuer's metadata (RFC 8414) where not set, on the issuer's own origin only."),
    ] = None
    authorization_endpoint: Annotated[
        LoopbackOrHttpsUrl | None, Meta(description="As `token_endpoint`; for `grant: authorization_code`.")
    ] = None
    client_id: Annotated[Label, Meta(description="The id under which the gateway is registered there.")]
    client_secret: Annotated[SecretReference | None, Meta(description="Reference to the client's secret.")] = None
    client_key: Annotated[
        SecretReference | None,
        Meta(description="Reference to a PKCS#8 PEM key (EC P-256 or RSA) for `private_key_jwt` (RFC 7523)."),
    ] = None
    client_authentication: Annotated[
        Literal["client_secret_basic", "client_secret_post"], Meta(description="How `client_secret` is sent.")
    ] = "client_secret_basic"
    scopes: Annotated[tuple[Scope, ...], Meta(description="Scopes that are asked for.")] = ()
    resource: Annotated[
        WebUrl | None, Meta(description="Resource indicator (RFC 8707); the upstream's `url` where not set.")
    ] = None
    ca_file: Annotated[
        FilePath | None,
        Meta(description="PEM certificates trusted for the authorization server, in place of the system's."),
    ] = None

    def faults(self) -> Iterable[Fault]:
        """One way to authenticate the client, and one is needed where no user takes part."""
        if self.client_secret is not None and self.client_key is not None:
            yield Fault(("client_key",), "client_secret and client_key exclude each other", "keep one of the two")
        if self.grant == "client_credentials" and self.client_secret is None and self.client_key is None:
            message = "grant: client_credentials needs a client that authenticates"
            yield Fault((), message, "set client_secret or client_key")
        if self.grant == "client_credentials" and self.authorization_endpoint is not None:
            message = "authorization_endpoint has no effect with grant: client_credentials"
            yield Fault(("authorization_endpoint",), message, "remove it", "warning")
