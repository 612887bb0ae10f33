"""TLS key pairs and trust bundles as values, read from PEM files.

Decides only whether files hold what they should. Doesn't watch them (a later issue rotates) and doesn't
make TLS contexts (``identity.tls``).
"""

from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from msgspec import Struct

from gateway.core.model import Peer
from gateway.identity.svid import PeerRejectedError, thumbprint, verify_peer


class MaterialError(ValueError):
    """A certificate, key or trust bundle can't be used. The text names the file, never its content."""


class KeyPair(Struct, frozen=True):
    """A certificate chain, leaf first, and the leaf's unencrypted private key, both PEM."""

    certificates_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return f"KeyPair(x5t={self.x5t!r})"

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        """DER of the chain's certificates, leaf first."""
        certificates = x509.load_pem_x509_certificates(self.certificates_pem)
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)

    @property
    def x5t(self) -> str:
        """``x5t#S256`` of the leaf: what ``cnf`` of a token bound to this certificate says (RFC 8705)."""
        return thumbprint(self.chain_der[0])


class Material(Struct, frozen=True):
    """The gateway's own SVID, and the roots of every trust domain it knows."""

    own: KeyPair
    bundles: Mapping[str, tuple[x509.Certificate, ...]]

    def __repr__(self) -> str:
        return f"Material(own={self.own!r}, bundles={sorted(self.bundles)})"

    @property
    def x5t(self) -> str:
        """``x5t#S256`` of the gateway's own certificate."""
        return self.own.x5t

    def identity(self, now: float) -> Peer:
        """Who the gateway itself is, by the checks that its peers make, at ``now`` (Unix seconds).

        Raises:
            MaterialError: its own certificate would be refused as a client or as a server.
        """
        try:
            verify_peer(self.own.chain_der, self.bundles, now, "server")
            return verify_peer(self.own.chain_der, self.bundles, now, "client")
        except PeerRejectedError as error:
            raise MaterialError(f"the gateway's own certificate is not a valid SVID: {error}") from None


def read_key_pair(certificate: Path, key: Path) -> KeyPair:
    """The key pair of two PEM files; either may hold other blocks too.

    Raises:
        MaterialError: unreadable, not PEM, encrypted, or the key is not the certificate's.
    """
    certificates_pem, key_pem = _read(certificate), _read(key)
    leaf = _certificates(certificate, certificates_pem)[0]
    try:
        private = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MaterialError(f"{key}: holds no unencrypted PEM private key") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise MaterialError(f"{key}: is not the private key of {certificate}")
    return KeyPair(certificates_pem, key_pem)


def read_bundles(files: Mapping[str, Path]) -> Mapping[str, tuple[x509.Certificate, ...]]:
    """Trust domain → the CA certificates of its PEM file.

    Raises:
        MaterialError: a file is unreadable or holds no certificate.
    """
    return {domain: _certificates(file, _read(file)) for domain, file in files.items()}


def _certificates(file: Path, pem: bytes) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError:
        raise MaterialError(f"{file}: holds no PEM certificate, or a broken one") from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise MaterialError(f"{file}: can't be read: {error.strerror}") from None
