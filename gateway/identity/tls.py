"""TLS contexts whose handshake ends only when the peer's SPIFFE identity is verified.

OpenSSL alone accepts a leaf of one trust domain signed by another's root, a second URI name and a CA as
leaf (TOKENS §1). So the handshake of these contexts goes on, after OpenSSL's, to ``svid.verify_peer``
over the chain as presented; a refused peer gets no byte of application data read. The verified ``Peer``
is ``hopgate_peer`` of the connection's ``ssl_object``. Doesn't decide what a peer may do, and doesn't
replace a context whose certificate or roots have changed (``identity.rotation``).
"""

import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from gateway.core.model import Peer, SpiffeId
from gateway.core.spiffe import trust_domain_of
from gateway.identity.material import KeyPair, Material
from gateway.identity.svid import PeerRejectedError, Refusal, verify_peer

OnRefused = Callable[[Refusal, str], None]
"""Told of each refused handshake: the reason and a bounded detail, for a metric and a rate-limited log."""

Clock = Callable[[], float]

_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_DER = 2
"""``_ssl.ENCODING_DER``, as the certificates of Python before 3.13 take it."""


class Gate(Struct, frozen=True):
    """What stands behind a context's handshakes."""

    check: Callable[[Sequence[bytes]], Peer]
    """Who presented this chain; raises PeerRejectedError."""
    on_refused: OnRefused
    trust: int = 0
    """The generation of the trust bundles that ``check`` goes by."""
    optional: bool = False
    """Whether a peer may show no certificate, and then is nobody."""


class GatedContext(ssl.SSLContext):
    """A context whose connections are ``VerifiedPeerObject``s, checked by its gate."""

    gate: Gate


class VerifiedPeerObject(ssl.SSLObject):
    """One TLS connection; ``do_handshake`` succeeds only for a verified peer.

    A resumed TLS 1.2 session is checked like a new one: the chain is kept with the session. TLS 1.3
    sessions never resume, since no ticket is issued.
    """

    hopgate_peer: Peer | None = None
    hopgate_trust: int = 0
    """The generation of the trust bundles that vouched for the peer."""

    def do_handshake(self) -> None:
        """Handshake, then verify who the peer is.

        Raises:
            ssl.SSLError: OpenSSL refused, or the peer did.
            ssl.SSLCertVerificationError: the chain proves no acceptable SPIFFE ID.
        """
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.gate.on_refused(Refusal.HANDSHAKE, error.reason or type(error).__name__)
            raise
        try:
            self.verify(self.gate)
        except PeerRejectedError as refusal:
            raise ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, str(refusal)) from None

    @property
    def gate(self) -> Gate:
        """The gate of the context that carried the handshake, which needn't be the one it began with."""
        context = self.context
        if not isinstance(context, GatedContext):
            raise TypeError("a verified connection was moved to a context without a gate")
        return context.gate

    def verify(self, gate: Gate) -> Peer | None:
        """Who the peer is by ``gate``, from the chain that it presented; remembered on the connection.

        None only where no certificate was shown and none is needed.

        Raises:
            PeerRejectedError: nobody acceptable; ``gate`` was told, and the connection has no peer now.
        """
        self.hopgate_peer = None
        chain = _presented_chain(self)
        try:
            self.hopgate_peer = None if gate.optional and not chain else gate.check(chain)
        except PeerRejectedError as refusal:
            gate.on_refused(refusal.reason, refusal.detail)
            raise
        self.hopgate_trust = gate.trust
        return self.hopgate_peer


def server_context(
    material: Material, on_refused: OnRefused, clock: Clock = time.time, trust: int = 0, *, optional: bool = False
) -> GatedContext:
    """For the data listener: a client certificate is required, unless ``optional``, and must be a valid SVID."""

    def check(chain: Sequence[bytes]) -> Peer:
        return verify_peer(chain, material.bundles, clock(), "client")

    context = _gated(ssl.PROTOCOL_TLS_SERVER, Gate(check, on_refused, trust, optional))
    _present(context, material.own)
    _trust(context, [root for roots in material.bundles.values() for root in roots])
    return context


def front_context(
    current: Callable[[], GatedContext | None], on_refused: OnRefused, *, optional: bool = False
) -> GatedContext:
    """For a listener whose certificate and roots change while it is bound: each handshake moves to ``current``.

    Without a current one every handshake is refused. This context has no certificate and no roots itself,
    but OpenSSL takes the verify mode, the versions and the tickets from it, not from the one moved to.
    """

    def nobody(chain: Sequence[bytes]) -> Peer:
        raise PeerRejectedError(Refusal.TRUST_DOMAIN, "there are no trust bundles at present")

    front = _gated(ssl.PROTOCOL_TLS_SERVER, Gate(nobody, on_refused, optional=optional))
    _move_to(front, current)
    return front


def client_context(
    material: Material, expected: SpiffeId, on_refused: OnRefused, clock: Clock = time.time
) -> ssl.SSLContext:
    """For connections to one upstream: its certificate must be ``expected``'s, whatever the host name.

    Trusts the roots of ``expected``'s trust domain only; an unknown domain refuses every handshake.
    """
    domain = trust_domain_of(expected)
    bundles = {domain: material.bundles.get(domain, ())}

    def check(chain: Sequence[bytes]) -> Peer:
        peer = verify_peer(chain, bundles, clock(), "server")
        if peer.spiffe_id != expected:
            raise PeerRejectedError(Refusal.OTHER_IDENTITY, f"expected {expected}, the certificate is {peer.spiffe_id}")
        return peer

    context = _gated(ssl.PROTOCOL_TLS_CLIENT, Gate(check, on_refused))
    _present(context, material.own)
    _trust(context, bundles[domain])
    return context


def public_context(own: KeyPair) -> ssl.SSLContext:
    """For the public listener: a server certificate, and no client certificate asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    _present(context, own)
    return context


def public_front(current: Callable[[], ssl.SSLContext | None]) -> ssl.SSLContext:
    """``front_context`` for the public listener."""
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(front)
    _move_to(front, current)
    return front


def _move_to(front: ssl.SSLContext, current: Callable[[], ssl.SSLContext | None]) -> None:
    def move(connection: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext) -> int | None:
        replacement = current()
        if replacement is None:
            return int(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR)
        connection.context = replacement
        return None

    # OpenSSL calls it for every client, also for one that names no server.
    front.sni_callback = move


def _gated(protocol: "ssl._SSLMethod", gate: Gate) -> GatedContext:
    context = GatedContext(protocol)
    _harden(context)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_OPTIONAL if gate.optional else ssl.CERT_REQUIRED
    context.gate = gate
    context.sslobject_class = VerifiedPeerObject
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if context.protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0


def _present(context: ssl.SSLContext, own: KeyPair) -> None:
    with _as_file(own.certificates_pem) as certificates, _as_file(own.key_pem) as key:
        context.load_cert_chain(certificates, key)


def _trust(context: ssl.SSLContext, roots: Sequence[x509.Certificate]) -> None:
    if roots:
        context.load_verify_locations(cadata=b"".join(root.public_bytes(Encoding.DER) for root in roots))


def _presented_chain(connection: ssl.SSLObject) -> list[bytes]:
    public = getattr(connection, "get_unverified_chain", None)
    if public is not None:
        return [certificate for certificate in public() or () if certificate is not None]
    # Python 3.11 and 3.12 have it on the inner object only.
    chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    # A server's chain begins with None where the client showed nothing.
    return [certificate.public_bytes(_DER) for certificate in chain or () if certificate is not None]


@contextmanager
def _as_file(pem: bytes) -> Iterator[str]:
    # load_cert_chain reads files only; a memory file keeps the private key off the disk.
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pem")
        try:
            os.write(descriptor, pem)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        yield file.name
