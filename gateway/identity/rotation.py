"""The gateway's TLS identity as it changes: certificates and trust bundles replaced while everything runs.

``RotatingServer`` and ``RotatingPublic`` keep a listener's context, ``RotatingClient`` those towards upstreams. After
``publish`` new handshakes use the new certificate and the new roots; after ``withdraw`` there are none and
every handshake fails. Live connections stay open: ``RotatingServer.peer_of`` says, request by request, who
today's bundles still vouch for. Doesn't decide when to publish (``identity.workload_api``).
"""

import ssl
import time
from collections.abc import Mapping

from cryptography import x509

from gateway.core.model import Peer, SpiffeId
from gateway.identity.material import KeyPair, Material, MaterialError
from gateway.identity.svid import PeerRejectedError
from gateway.identity.tls import (
    Clock,
    GatedContext,
    OnRefused,
    VerifiedPeerObject,
    client_context,
    front_context,
    public_context,
    public_front,
    server_context,
)


class RotatingServer:
    """The TLS context of a listener that requires SVIDs, or takes them, bound once and kept current."""

    def __init__(self, on_refused: OnRefused, clock: Clock = time.time, *, optional: bool = False) -> None:
        self._optional = optional
        self._on_refused = on_refused
        self._clock = clock
        self._current: GatedContext | None = None
        self._bundles: Mapping[str, frozenset[x509.Certificate]] = {}
        self._trust = 0
        self.context = front_context(lambda: self._current, on_refused, optional=optional)

    def publish(self, material: Material) -> None:
        """Use ``material`` from the next handshake on.

        Raises:
            ssl.SSLError: OpenSSL can't use the key pair. What was published before stays.
        """
        bundles = {domain: frozenset(roots) for domain, roots in material.bundles.items()}
        trust = self._trust + (bundles != self._bundles)
        self._current = server_context(material, self._on_refused, self._clock, trust, optional=self._optional)
        self._bundles, self._trust = bundles, trust

    def withdraw(self) -> None:
        """Vouch for nobody until something is published again."""
        self._current = None

    def trusts(self, domain: str) -> bool:
        """Whether there are roots of this trust domain at present."""
        return self._current is not None and bool(self._bundles.get(domain))

    def peer_of(self, connection: object) -> Peer | None:
        """The peer of a live connection (its ``ssl_object``), if today's trust bundles still vouch for it.

        A chain is verified again only after the bundles changed, so a root that comes costs nobody a
        connection, and one that goes ends its peers' next request. Doesn't look at ``Peer.not_after`` otherwise.
        """
        if self._current is None or not isinstance(connection, VerifiedPeerObject):
            return None
        gate = self._current.gate
        if connection.hopgate_peer is None or connection.hopgate_trust == gate.trust:
            return connection.hopgate_peer
        try:
            return connection.verify(gate)
        except PeerRejectedError:
            return None


class RotatingPublic:
    """The TLS context of the public listener, which asks for no client certificate."""

    def __init__(self) -> None:
        self._current: ssl.SSLContext | None = None
        self.context = public_front(lambda: self._current)

    def publish(self, own: KeyPair) -> None:
        """Show ``own`` from the next handshake on.

        Raises:
            ssl.SSLError: OpenSSL can't use the key pair. What was published before stays.
        """
        self._current = public_context(own)

    def withdraw(self) -> None:
        """Fail every handshake until something is published again."""
        self._current = None


class ClientIdentity:
    """Who the gateway is towards upstreams between two rotations: its certificate, and contexts that show it."""

    def __init__(self, material: Material, on_refused: OnRefused, clock: Clock = time.time) -> None:
        self._material = material
        self._on_refused = on_refused
        self._clock = clock
        self._contexts: dict[SpiffeId, ssl.SSLContext] = {}
        self.x5t = material.x5t
        """``cnf`` of tokens that travel over connections of these contexts."""

    def context(self, expected: SpiffeId) -> ssl.SSLContext:
        """For connections to ``expected``; the same object each time, so that connections can be pooled by it."""
        context = self._contexts.get(expected)
        if context is None:
            context = client_context(self._material, expected, self._on_refused, self._clock)
            self._contexts[expected] = context
        return context


class RotatingClient:
    """The current ``ClientIdentity``. Take it once per hop: the token's ``cnf`` and the connection must agree."""

    def __init__(self, on_refused: OnRefused, clock: Clock = time.time) -> None:
        self._on_refused = on_refused
        self._clock = clock
        self._current: ClientIdentity | None = None

    def publish(self, material: Material) -> None:
        """Use ``material`` for connections opened from now on."""
        self._current = ClientIdentity(material, self._on_refused, self._clock)

    def withdraw(self) -> None:
        """Have no identity, and so no connections, until something is published again."""
        self._current = None

    @property
    def current(self) -> ClientIdentity:
        """What to be for the next request.

        Raises:
            MaterialError: nothing is published at present.
        """
        if self._current is None:
            raise MaterialError("the gateway has no SVID at present")
        return self._current
