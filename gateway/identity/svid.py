"""SPIFFE X.509-SVIDs: whether a certificate chain proves a SPIFFE ID.

Decides who the other end of a connection is (TOKENS §1). Doesn't do the handshake (``identity.tls``)
and doesn't say what a peer may do. URI name constraints are not implemented by the path verifier:
a chain that carries them is refused.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.core.model import Peer, SpiffeId
from gateway.core.spiffe import parse_spiffe_id, trust_domain_of

MAX_CHAIN = 8
"""Certificates that a peer may present, the leaf included."""

Purpose = Literal["client", "server"]
_E = TypeVar("_E", bound=x509.ExtensionType)
Bundles = Mapping[str, Sequence[x509.Certificate]]
"""Trust domain → its own roots. A root of one domain never vouches for another."""

_EXTENDED_KEY_USAGE: Mapping[Purpose, x509.ObjectIdentifier] = {
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
}
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class Refusal(StrEnum):
    """Why a peer was refused: a closed set, fit for a metric label."""

    HANDSHAKE = "handshake"
    NO_CERTIFICATE = "no_certificate"
    MALFORMED = "malformed"
    CHAIN_LENGTH = "chain_length"
    SPIFFE_ID = "spiffe_id"
    TRUST_DOMAIN = "trust_domain"
    CA_LEAF = "ca_leaf"
    KEY_USAGE = "key_usage"
    EXTENDED_KEY_USAGE = "extended_key_usage"
    KEY_WEAK = "key_weak"
    PATH = "path"
    OTHER_IDENTITY = "other_identity"


class PeerRejectedError(Exception):
    """The presented chain proves no SPIFFE ID. ``detail`` is for the log; it is bounded and holds no key."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def thumbprint(certificate_der: bytes) -> str:
    """``x5t#S256`` (RFC 8705 §3.1): unpadded base64url of the certificate's SHA-256.

    Good to demand one certificate, never to exclude one: a holder can respell its signature, and so the hash.
    """
    return base64.urlsafe_b64encode(hashlib.sha256(certificate_der).digest()).rstrip(b"=").decode()


def verify_peer(chain_der: Sequence[bytes], bundles: Bundles, now: float, purpose: Purpose) -> Peer:
    """Who presented ``chain_der`` (leaf first, as sent), judged at ``now`` (Unix seconds).

    The path must end at a root of the leaf's *own* trust domain. ``purpose`` is the role the leaf
    plays: the extended key usage, where present, must allow it.

    Raises:
        PeerRejectedError: anything else than one valid X509-SVID with an RFC 5280 path.
    """
    if not chain_der:
        raise PeerRejectedError(Refusal.NO_CERTIFICATE, "no certificate was presented")
    if len(chain_der) > MAX_CHAIN:
        raise PeerRejectedError(Refusal.CHAIN_LENGTH, f"{len(chain_der)} certificates, at most {MAX_CHAIN} are read")
    try:
        leaf, *intermediates = [x509.load_der_x509_certificate(der) for der in chain_der]
        spiffe_id = _leaf_id(leaf)
        _check_leaf(leaf, purpose)
        path = _verified_path(leaf, intermediates, bundles, spiffe_id, now, purpose)
        expires = min(certificate.not_valid_after_utc for certificate in path)
    except _UNREADABLE as error:
        raise PeerRejectedError(Refusal.MALFORMED, f"a certificate can't be read: {type(error).__name__}") from None
    return Peer(spiffe_id, trust_domain_of(spiffe_id), thumbprint(chain_der[0]), int(expires.timestamp()))


def _leaf_id(leaf: x509.Certificate) -> SpiffeId:
    names = _extension(leaf, x509.SubjectAlternativeName)
    uris = [] if names is None else names.value.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise PeerRejectedError(Refusal.SPIFFE_ID, f"the leaf has {len(uris)} URI names, an SVID has exactly one")
    try:
        return parse_spiffe_id(uris[0])
    except ValueError as error:
        raise PeerRejectedError(Refusal.SPIFFE_ID, f"{uris[0][:200]!r}: {error}") from None


def _check_leaf(leaf: x509.Certificate, purpose: Purpose) -> None:
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise PeerRejectedError(Refusal.CA_LEAF, "the leaf is a CA certificate")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not usage.critical:
        raise PeerRejectedError(Refusal.KEY_USAGE, "the leaf lacks a critical key usage")
    if not usage.value.digital_signature or usage.value.key_cert_sign or usage.value.crl_sign:
        raise PeerRejectedError(Refusal.KEY_USAGE, "the leaf's key usage is not that of an end entity")
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    if extended is not None and _EXTENDED_KEY_USAGE[purpose] not in extended.value:
        raise PeerRejectedError(Refusal.EXTENDED_KEY_USAGE, f"the leaf's extended key usage lacks {purpose}Auth")
    if not _is_strong(leaf):
        raise PeerRejectedError(Refusal.KEY_WEAK, "the leaf's key is none of P-256/384/521, Ed25519, RSA 2048 or more")


def _is_strong(leaf: x509.Certificate) -> bool:
    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= 2048
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, _CURVES)
    return isinstance(key, ed25519.Ed25519PublicKey)


def _verified_path(
    leaf: x509.Certificate,
    intermediates: list[x509.Certificate],
    bundles: Bundles,
    spiffe_id: SpiffeId,
    now: float,
    purpose: Purpose,
) -> list[x509.Certificate]:
    roots = bundles.get(trust_domain_of(spiffe_id))
    if not roots:
        raise PeerRejectedError(Refusal.TRUST_DOMAIN, f"{spiffe_id}: no trust bundle for its trust domain")
    # A client verifier in both roles: a server verifier demands a DNS or IP name, which SVIDs need not have.
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store(list(roots)))
        .time(datetime.fromtimestamp(now, UTC))
        .extension_policies(ca_policy=_ca_policy(purpose), ee_policy=verification.ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        path = verifier.verify(leaf, intermediates).chain
    except verification.VerificationError as error:
        raise PeerRejectedError(Refusal.PATH, f"{spiffe_id}: {str(error)[:300]}") from None
    if len(path) < 2:
        raise PeerRejectedError(Refusal.PATH, f"{spiffe_id}: the trust bundle holds the leaf itself, not its issuer")
    return path


def _ca_policy(purpose: Purpose) -> verification.ExtensionPolicy:
    wanted = _EXTENDED_KEY_USAGE[purpose]

    def allows_purpose(
        policy: verification.Policy, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None
    ) -> None:
        if usage is not None and wanted not in usage and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usage:
            raise ValueError(f"a CA of the path is not allowed to issue for {purpose}Auth")

    return verification.ExtensionPolicy.webpki_defaults_ca().may_be_present(
        x509.ExtendedKeyUsage, verification.Criticality.AGNOSTIC, allows_purpose
    )


def _extension(certificate: x509.Certificate, kind: type[_E]) -> x509.Extension[_E] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
