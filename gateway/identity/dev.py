"""The embedded development CA: SVIDs for a quick start, without SPIRE.

Its key lies unprotected beside the certificates, so it is for one machine and never for production,
which the configuration refuses. Doesn't decide who may have which identity: whoever can read the
directory can issue any.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from gateway.core.model import SpiffeId
from gateway.core.spiffe import SCHEME, parse_spiffe_id, trust_domain_of
from gateway.identity.material import KeyPair, Material, MaterialError, read_bundles, read_key_pair
from gateway.identity.private_files import write_private

ORGANIZATION = "Hopgate development CA - not for production"
CA_LIFE = timedelta(days=365)
SVID_LIFE = timedelta(hours=24)
RENEW_BEFORE = timedelta(hours=8)
"""An SVID with less life left than this is issued again; a CA with less than one SVID's life is replaced."""
CLOCK_SKEW = timedelta(minutes=5)

_CA_CERTIFICATE, _CA_KEY, _LOCK = "ca.pem", "ca-key.pem", ".lock"


class IssuedFiles(Struct, frozen=True):
    """Where an SVID lies: certificate and key PEM, and the CA certificate that its peers are verified with."""

    certificate: Path
    key: Path
    bundle: Path


class Authority(Struct, frozen=True):
    """A development CA of one trust domain. The key is a secret."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"Authority({self.certificate.subject.rfc4514_string()!r})"


def ensure(
    directory: Path, trust_domain: str, *, hosts: Sequence[str] = (), name: str = "hopgate", now: datetime | None = None
) -> Material:
    """The gateway's own development material, made or renewed in ``directory`` as needed.

    The SVID is ``spiffe://<trust_domain>/<name>`` and also carries ``localhost``, ``127.0.0.1``, ``::1``
    and ``hosts`` (DNS names or IP addresses), so that ordinary TLS clients accept it.

    Raises:
        MaterialError: the directory can't be used, or holds the CA of another trust domain.
        ValueError: ``trust_domain`` and ``name`` are no SPIFFE ID.
    """
    spiffe_id = parse_spiffe_id(f"{SCHEME}{trust_domain}/{name}")
    files = issue_svid(directory, spiffe_id, directory, name, hosts=("localhost", "127.0.0.1", "::1", *hosts), now=now)
    return Material(read_key_pair(files.certificate, files.key), read_bundles({trust_domain: files.bundle}))


def issue_svid(
    directory: Path,
    spiffe_id: str,
    out_dir: Path,
    name: str,
    *,
    hosts: Sequence[str] = (),
    now: datetime | None = None,
) -> IssuedFiles:
    """An SVID as ``<out_dir>/<name>.pem`` and ``<name>-key.pem``, kept while it is fresh and names the same.

    Raises:
        MaterialError: a directory can't be used, or holds the CA of another trust domain.
        ValueError: ``spiffe_id`` is none, or a host is neither a DNS name nor an IP address.
    """
    wanted, now = parse_spiffe_id(spiffe_id), now or datetime.now(UTC)
    files = IssuedFiles(out_dir / f"{name}.pem", out_dir / f"{name}-key.pem", directory / _CA_CERTIFICATE)
    names = _names(wanted, hosts)
    try:
        with _locked(directory):
            authority = _authority(directory, trust_domain_of(wanted), now)
            out_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _is_fresh(files, authority, names, now):
                pair = sign_svid(authority, names, now)
                write_private(files.key, pair.key_pem)
                write_private(files.certificate, pair.certificates_pem)
    except OSError as error:
        raise MaterialError(f"{error.filename or directory}: {error.strerror}") from None
    return files


def create_authority(trust_domain: str, now: datetime) -> Authority:
    """A new P-256 CA, valid for a year, that signs leaves only."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"{trust_domain} root {now:%Y-%m-%d}")
    certificate = (
        _builder(subject, subject, key.public_key(), now, now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SCHEME + trust_domain)]), False)
        .sign(key, SHA256())
    )
    return Authority(certificate, key)


def sign_svid(authority: Authority, names: Sequence[x509.GeneralName], now: datetime) -> KeyPair:
    """A fresh P-256 key and its leaf certificate for 24 hours, for both TLS roles."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    subject = _subject(next(str(name.value) for name in names)[-64:])
    certificate = (
        _builder(subject, issuer.subject, key.public_key(), now, min(now + SVID_LIFE, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
        .sign(authority.key, SHA256())
    )
    return KeyPair(certificate.public_bytes(Encoding.PEM), _key_pem(key))


def _authority(directory: Path, trust_domain: str, now: datetime) -> Authority:
    certificate_file, key_file = directory / _CA_CERTIFICATE, directory / _CA_KEY
    if certificate_file.exists() and key_file.exists():
        authority = _read_authority(certificate_file, key_file, trust_domain)
        if authority.certificate.not_valid_after_utc - now > SVID_LIFE:
            return authority
    authority = create_authority(trust_domain, now)
    write_private(key_file, _key_pem(authority.key))
    write_private(certificate_file, authority.certificate.public_bytes(Encoding.PEM))
    return authority


def _read_authority(certificate_file: Path, key_file: Path, trust_domain: str) -> Authority:
    pair = read_key_pair(certificate_file, key_file)
    certificate = x509.load_pem_x509_certificate(pair.certificates_pem)
    key = load_pem_private_key(pair.key_pem, password=None)
    if _uris(certificate) != [SCHEME + trust_domain] or not isinstance(key, ec.EllipticCurvePrivateKey):
        raise MaterialError(f"{certificate_file}: is not the development CA of {trust_domain}; use another directory")
    return Authority(certificate, key)


def _is_fresh(files: IssuedFiles, authority: Authority, names: Sequence[x509.GeneralName], now: datetime) -> bool:
    if not files.certificate.exists() or not files.key.exists():
        return False
    try:
        leaf = x509.load_pem_x509_certificate(read_key_pair(files.certificate, files.key).certificates_pem)
        leaf.verify_directly_issued_by(authority.certificate)
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (MaterialError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return leaf.not_valid_after_utc - now > RENEW_BEFORE and list(held) == list(names)


def _names(spiffe_id: SpiffeId, hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe_id)]
    for host in dict.fromkeys(hosts):
        address = _address(host)
        names.append(x509.DNSName(host) if address is None else x509.IPAddress(address))
    return names


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _uris(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _subject(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
