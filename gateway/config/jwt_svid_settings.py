"""``identity.jwt_svid``: whose JWT-SVIDs prove an agent that can't show a certificate."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from gateway.config.section import Section
from gateway.config.words import FilePath, TrustDomain


class JwtSvidSettings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """JWT-SVIDs as proof of an agent, on the public listener's routes that take them (`jwt_svid: true`)."""

    bundles: Annotated[
        Mapping[TrustDomain, FilePath],
        Meta(
            description="Trust domain → its JWT authorities, a SPIFFE bundle or a JWKS. With `source: workload_api` "
            "those of the agent are added, and count where both know a domain."
        ),
    ] = {}
    max_seconds: Annotated[
        int, Meta(ge=10, le=3600, description="Longest that a JWT-SVID may still live when it is presented.")
    ] = 300
