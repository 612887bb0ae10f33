"""The parts with which third parties' upstreams are asked. Values only; ``dispatch`` and ``consent_pages`` use them."""

from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext

from msgspec import Struct

from gateway.core.ports import SingleUse
from gateway.core.third_party import OAuthClient
from gateway.identity.authorization_server import Resolve
from gateway.identity.resource_metadata import ResourceChecks
from gateway.identity.tokens import TrustedIssuer
from gateway.identity.upstream_oauth import UpstreamOauth


class Login(Struct, frozen=True):
    """Where users of one issuer prove who they are, and the gateway as its client."""

    trusted: TrustedIssuer
    client: OAuthClient


class Terms(Struct, frozen=True):
    """What one generation of the configuration says of third parties."""

    contexts: Mapping[str | None, SSLContext]
    """TLS by ``ca_file``."""
    logins: Mapping[str, Login]
    """By the issuer's short name."""
    link_seconds: int


@dataclass(frozen=True)
class ThirdParties:
    """What outlives generations."""

    oauth: UpstreamOauth
    checks: ResourceChecks
    spent: SingleUse
    resolve: Resolve
