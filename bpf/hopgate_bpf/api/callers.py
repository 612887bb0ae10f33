"""Who may use the API: processes of listed users on the unix socket, one SPIFFE ID over mutual TLS.

The TLS side ends every handshake of anybody else (``_PinnedConnection``), so no request of theirs is read. Looks up no
names: an address or a host name proves nothing here.
"""

import socket
import ssl
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from hopgate_bpf.node.settings import TlsSettings
from hopgate_bpf.rules.refusal import Reason, RefusedError

_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid (unix(7), SO_PEERCRED)."""
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_Version = tuple[tuple[int, int], ...]


def check_process(connected: socket.socket, uids: Collection[int]) -> None:
    """Whether the process at the other end is of one of ``uids``; it was, when it connected.

    Raises:
        RefusedError: CALLER_UNKNOWN.
    """
    _, uid, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid not in uids:
        raise RefusedError(Reason.CALLER_UNKNOWN, f"user id {uid} is not in socket.uids")


class _Pinned(ssl.SSLContext):
    """A context that knows whose certificate it takes."""

    gateway: str


class _PinnedConnection(ssl.SSLObject):
    """A connection whose handshake succeeds only for the pinned SPIFFE ID."""

    def do_handshake(self) -> None:
        """Handshake, then look at who it is.

        Raises:
            ssl.SSLError: not a certificate of the trust bundle, or of another identity.
        """
        super().do_handshake()
        context = self.context
        wanted = context.gateway if isinstance(context, _Pinned) else None
        certificate = self.getpeercert(binary_form=True)
        if wanted is None or certificate is None or not _is_svid_of(certificate, wanted):
            raise ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, f"the caller's certificate is not that of {wanted}")


def _is_svid_of(der: bytes, spiffe_id: str) -> bool:
    """Whether the leaf is an X509-SVID of ``spiffe_id`` (SPIFFE X509-SVID §2, §4, §5); OpenSSL verified its path."""
    try:
        leaf = x509.load_der_x509_certificate(der)
        extensions = leaf.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    constraints = [each.value for each in extensions if isinstance(each.value, x509.BasicConstraints)]
    return (
        names.get_values_for_type(x509.UniformResourceIdentifier) == [spiffe_id]
        and not any(each.ca for each in constraints)
        and usage.digital_signature
        and not usage.key_cert_sign
        and ExtendedKeyUsageOID.CLIENT_AUTH in extended
    )


class Material:
    """The listener's TLS: each handshake goes by the files as they are, read again when one of them changes."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._files = [Path(each) for each in (settings.certificate, settings.key, settings.trust_bundle)]
        self._version: _Version = ()
        self._current = self._read()

    def front(self) -> ssl.SSLContext:
        """The context to listen with; it moves each handshake to the current files."""
        front = _context(self._settings.gateway)
        front.sni_callback = self._move
        return front

    def _move(self, connection: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext) -> int | None:
        try:
            self._refresh()
        except RefusedError:
            return int(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR)
        connection.context = self._current
        return None

    def _refresh(self) -> None:
        if self._looked() != self._version:
            self._current = self._read()

    def _looked(self) -> _Version:
        try:
            return tuple((found.st_mtime_ns, found.st_ino) for found in (file.stat() for file in self._files))
        except OSError as error:
            raise RefusedError(Reason.CONFIG_INVALID, f"tls: {error.filename}: {error.strerror}") from None

    def _read(self) -> ssl.SSLContext:
        version = self._looked()
        settings = self._settings
        context = _context(settings.gateway)
        try:
            context.load_cert_chain(settings.certificate, settings.key)
            roots = x509.load_pem_x509_certificates(Path(settings.trust_bundle).read_bytes())
            context.load_verify_locations(cadata=b"".join(root.public_bytes(Encoding.DER) for root in roots))
        except (ssl.SSLError, ValueError, OSError) as error:
            text = "tls: certificate, key or trust_bundle can't be used"
            raise RefusedError(Reason.CONFIG_INVALID, f"{text}: {_cause(error)}") from None
        self._version = version
        return context


def _cause(error: Any) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def _context(gateway: str) -> _Pinned:
    context = _Pinned(ssl.PROTOCOL_TLS_SERVER)
    context.gateway = gateway
    context.sslobject_class = _PinnedConnection
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    return context
