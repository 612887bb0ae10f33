"""Upstreams that know nothing of this gateway: verified by the web's certificates, asked with a credential of theirs.

Facts only. Secrets are references here, never values; ``identity.upstream_oauth`` obtains the tokens.
"""

from typing import Literal

from msgspec import Struct

GrantType = Literal["client_credentials", "authorization_code"]
ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]


class ApiKey(Struct, frozen=True):
    """A secret that is sent as it is, in a header of its own."""

    header: str
    value: str
    """Reference: ``file:PATH`` or ``env:NAME``."""


class OAuthClient(Struct, frozen=True, kw_only=True):
    """The gateway as a client of the third party's authorization server. Equal values may share tokens."""

    grant: GrantType
    issuer: str
    """The one authorization server that may issue for the upstream, whatever the upstream's metadata says."""
    client_id: str
    authentication: ClientAuthentication
    secret: str | None = None
    """Reference to the client secret, or to the PKCS#8 PEM key of ``private_key_jwt``."""
    scopes: tuple[str, ...] = ()
    resource: str
    """RFC 8707."""
    token_endpoint: str | None = None
    """Found by the issuer's metadata where not set; so is the next one."""
    authorization_endpoint: str | None = None
    ca_file: str | None = None
    """Trusted for the authorization server's TLS in place of the system's roots."""


class ThirdParty(Struct, frozen=True):
    """What makes an upstream a third party's: it gets no hop token, and no client certificate."""

    ca_file: str | None = None
    credential: ApiKey | OAuthClient | None = None

    @property
    def kind(self) -> str:
        """What records call the credential."""
        match self.credential:
            case ApiKey():
                return "api_key"
            case OAuthClient(grant=grant):
                return f"oauth {grant}"
        return "none"
