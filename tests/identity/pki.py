"""A small PKI for tests: certificates that a real CA would not make."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.identity.material import KeyPair, Material

NOW = datetime.now(UTC).replace(microsecond=0)
BOTH_ROLES = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)


def key_usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)


@dataclass
class Shape:
    """What a certificate looks like; the defaults are a good SVID leaf."""

    uris: Sequence[str] = ()
    dns: Sequence[str] = ()
    ips: Sequence[str] = ()
    ca: bool = False
    usage: x509.KeyUsage | None = None
    usage_present: bool = True
    usage_critical: bool = True
    extended: Sequence[x509.ObjectIdentifier] = BOTH_ROLES
    not_before: datetime = NOW - timedelta(hours=1)
    not_after: datetime = NOW + timedelta(hours=1)
    key: Any = None
    path_length: int | None = None
    extra: Sequence[tuple[x509.ExtensionType, bool]] = ()


@dataclass
class Issued:
    certificate: x509.Certificate
    key: Any
    chain: "list[x509.Certificate]" = field(default_factory=list)

    @property
    def der(self) -> list[bytes]:
        return [c.public_bytes(Encoding.DER) for c in [self.certificate, *self.chain]]

    @property
    def pair(self) -> KeyPair:
        certificates = b"".join(c.public_bytes(Encoding.PEM) for c in [self.certificate, *self.chain])
        return KeyPair(certificates, self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def issue(self, name: str, shape: Shape) -> "Issued":
        leaf = make(name, shape, self)
        # The root itself is never sent.
        leaf.chain = [self.certificate, *self.chain] if self.certificate.issuer != self.certificate.subject else []
        return leaf


def make(name: str, shape: Shape, issuer: Issued | None = None) -> Issued:
    key = shape.key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(shape.not_before)
        .not_valid_after(shape.not_after)
        .add_extension(x509.BasicConstraints(shape.ca, shape.path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if shape.usage_present:
        builder = builder.add_extension(shape.usage or key_usage(shape.ca), critical=shape.usage_critical)
    if issuer:
        aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(aki, critical=False)
    names: list[x509.GeneralName] = [*map(x509.UniformResourceIdentifier, shape.uris), *map(x509.DNSName, shape.dns)]
    names += [x509.IPAddress(ip_address(each)) for each in shape.ips]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if shape.extended and not shape.ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(shape.extended)), critical=False)
    for extension, critical in shape.extra:
        builder = builder.add_extension(extension, critical=critical)
    signer = issuer.key if issuer else key
    return Issued(builder.sign(signer, None if isinstance(signer, Ed25519PrivateKey) else SHA256()), key)


def root(name: str, **shape: Any) -> Issued:
    return make(name, Shape(ca=True, **shape))


@dataclass
class World:
    """Two trust domains, each with a root, and a gateway of the first."""

    a: Issued
    b: Issued

    @property
    def bundles(self) -> dict[str, tuple[x509.Certificate, ...]]:
        return {"a.test": (self.a.certificate,), "b.test": (self.b.certificate,)}

    def leaf(self, uri: str = "spiffe://a.test/agent/x", **shape: Any) -> Issued:
        signer = self.b if uri.startswith("spiffe://b.test") else self.a
        return signer.issue("leaf", Shape(uris=[uri], **shape))

    def material(self, uri: str = "spiffe://a.test/hopgate", **shape: Any) -> Material:
        return Material(self.leaf(uri, **shape).pair, self.bundles)
