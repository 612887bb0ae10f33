"""What of the configuration an admin request is decided with: pinned at its start, replaced as a whole."""

from msgspec import Struct

from gateway.core.administration import AdminBundle
from gateway.core.limits import Limits
from gateway.core.quotas import Quotas
from gateway.core.registry import Registry
from gateway.identity.tokens import TokenVerifier
from gateway.protocols.http_head import Allowed


class AdminEdition(Struct, frozen=True, kw_only=True):
    """One generation, as the admin API sees it."""

    generation: int
    bundle: AdminBundle
    registry: Registry
    tokens: TokenVerifier | None
    """Of the issuers whose admin tokens are accepted; None where none is."""
    audience: str
    """``aud`` of admin tokens."""
    allowed: Allowed
    limits: Limits
    quotas: Quotas
    """How much may be used."""
    body_bytes: int
    policy_bytes: int
    """Most bytes of a body that holds policies."""
