"""Everything that a request is decided from, frozen and pinned at the request's start."""

from collections.abc import Mapping

from msgspec import Struct

from gateway.core.federation import PeerGateway
from gateway.core.kernel.policies import KernelPolicies
from gateway.core.limits import Limits
from gateway.core.model import Route, SpiffeId
from gateway.core.policy.bundle import Bundle
from gateway.core.quotas import NO_QUOTAS, Quotas
from gateway.core.registry import Registry
from gateway.core.scope import Sources


class Snapshot(Struct, frozen=True, kw_only=True):
    """One generation of configuration. Published by one assignment; generations only grow."""

    generation: int
    digest: str
    """Hex SHA-256 over bundle, registry, routes, limits, quotas and ``tools``."""
    bundle: Bundle
    registry: Registry
    routes: Mapping[str, Route]
    """By path: ``/mcp/<server>``, ``/a2a/<agent>``."""
    limits: Limits
    first_use_pins: bool
    """Whether the first definition that a server lists of a tool counts as approved (``core.pins``)."""
    scope_sources: Mapping[str, Sources]
    """By the short name of each issuer of user tokens."""
    quotas: Quotas = NO_QUOTAS
    trust_domain: str = ""
    """The gateway's own."""
    peers: Mapping[SpiffeId, PeerGateway] = {}
    """The gateways of other trust domains, by SPIFFE ID."""
    kernel: KernelPolicies = KernelPolicies()
    """Policies about agents' machines, which no call is decided by."""

    def peer_of(self, issuer: str) -> PeerGateway | None:
        """The peer gateway whose ``iss`` this is."""
        return next((peer for peer in self.peers.values() if peer.issuer == issuer), None)

    def peer_named(self, name: str | None) -> PeerGateway | None:
        """The peer gateway of this configured name."""
        return next((peer for peer in self.peers.values() if peer.name == name), None)
