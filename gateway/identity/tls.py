"""TLS contexts whose handshake ends only when the peer's SPIFFE identity is verified.

OpenSSL alone accepts a leaf of one trust domain signed by another's root, a second URI name and a CA as
leaf (TOKENS §1). So the handshake of these contexts goes on, after OpenSSL's, to ``svid.verify_peer``
over the chain as presented; a refused peer gets no byte of application data read. The verified ``Peer``
is ``hopgate_peer`` of the connection's ``ssl_object``. Doesn't decide what a peer may do.
"""

import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

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


class _Gate(Struct, frozen=True):
    """What stands behind a context's handshakes."""

    check: Callable[[Sequence[bytes]], Peer]
    """Who presented this chain; raises PeerRejectedError."""
    on_refused: OnRefused


class VerifiedPeerObject(ssl.SSLObject):
    """One TLS connection; ``do_handshake`` succeeds only for a verified peer.

    A resumed TLS 1.2 session is checked like a new one: the chain is kept with the session. TLS 1.3
    sessions never resume, since no ticket is issued.
    """

    hopgate_peer: Peer | None = None
    _gate: ClassVar[_Gate]

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
            self._gate.on_refused(Refusal.HANDSHAKE, error.reason or type(error).__name__)
            raise
        try:
            self.hopgate_peer = self._gate.check(_presented_chain(self))
        except PeerRejectedError as refusal:
            self._gate.on_refused(refusal.reason, refusal.detail)
            raise ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, str(refusal)) from None


def server_context(material: Material, on_refused: OnRefused, clock: Clock = time.time) -> ssl.SSLContext:
    """For the data listener: a client certificate is required and must be a valid SVID."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, material.own)
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, [root for roots in material.bundles.values() for root in roots])

    def check(chain: Sequence[bytes]) -> Peer:
        return verify_peer(chain, material.bundles, clock(), "client")

    context.sslobject_class = _verifying(_Gate(check, on_refused))
    return context


def client_context(
    material: Material, expected: SpiffeId, on_refused: OnRefused, clock: Clock = time.time
) -> ssl.SSLContext:
    """For connections to one upstream: its certificate must be ``expected``'s, whatever the host name.

    Trusts the roots of ``expected``'s trust domain only; an unknown domain refuses every handshake.
    """
    domain = trust_domain_of(expected)
    bundles = {domain: material.bundles.get(domain, ())}
    context = _context(ssl.PROTOCOL_TLS_CLIENT, material.own)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, bundles[domain])

    def check(chain: Sequence[bytes]) -> Peer:
        peer = verify_peer(chain, bundles, clock(), "server")
        if peer.spiffe_id != expected:
            raise PeerRejectedError(Refusal.OTHER_IDENTITY, f"expected {expected}, the certificate is {peer.spiffe_id}")
        return peer

    context.sslobject_class = _verifying(_Gate(check, on_refused))
    return context


def public_context(own: KeyPair) -> ssl.SSLContext:
    """For the public listener: a server certificate, and no client certificate asked for."""
    return _context(ssl.PROTOCOL_TLS_SERVER, own)


def _context(protocol: "ssl._SSLMethod", own: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    with _as_file(own.certificates_pem) as certificates, _as_file(own.key_pem) as key:
        context.load_cert_chain(certificates, key)
    return context


def _trust(context: ssl.SSLContext, roots: Sequence[x509.Certificate]) -> None:
    if roots:
        context.load_verify_locations(cadata=b"".join(root.public_bytes(Encoding.DER) for root in roots))


def _verifying(gate: _Gate) -> type[VerifiedPeerObject]:
    # OpenSSL's wrapper takes a class, not a factory: the gate is bound as a class attribute.
    return type("BoundVerifiedPeerObject", (VerifiedPeerObject,), {"_gate": gate})


def _presented_chain(connection: ssl.SSLObject) -> list[bytes]:
    public = getattr(connection, "get_unverified_chain", None)
    if public is not None:
        return list(public() or ())
    # Python 3.11 and 3.12 have it on the inner object only.
    chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return [certificate.public_bytes(_DER) for certificate in chain or ()]


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
