"""What of the configuration a request is carried with: pinned at its start, replaced as a whole.

Made by ``app`` for each generation. Doesn't hold what outlives generations: stores, connections, metrics.
"""

from collections.abc import Mapping

from msgspec import Struct

from gateway.core.approval import Terms as ApprovalTerms
from gateway.core.snapshot import Snapshot
from gateway.identity.assertions import AssertionVerifier
from gateway.identity.signer import Signer
from gateway.identity.tokens import TokenVerifier
from gateway.proxy.exchange import Listener
from gateway.proxy.locate import Allowed
from gateway.proxy.third_party import Terms
from gateway.proxy.webhook_client import Webhooks
from gateway.proxy.wellknown import Documents


class Edition(Struct, frozen=True, kw_only=True):
    """One generation: the snapshot, and the keys and names that go with it."""

    snapshot: Snapshot
    tokens: TokenVerifier
    assertions: AssertionVerifier
    signer: Signer
    documents: Documents
    allowed: Mapping[Listener, Allowed]
    issuer: str
    """The gateway's own issuer identifier."""
    bases: Mapping[Listener, str]
    """URL by which clients reach each listener; a route's resource is it plus the route's path."""
    webhooks: Webhooks
    third_parties: Terms
    approvals: ApprovalTerms
