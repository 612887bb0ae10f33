"""SPIFFE bundle documents (SPIFFE Trust Domain and Bundle §4): X.509 roots of a trust domain as a JWKS.

Decides whether a document is one, and whether it may follow another. Doesn't fetch, and doesn't know whose it is:
a trust domain is configured, never read from a document.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from msgspec import Struct

from gateway.identity.jose import strict_object

MAX_ROOTS = 64
_USE = "x509-svid"
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)


class BundleError(ValueError):
    """A bundle document can't be used. The text says why and what stays in force."""


class TrustBundle(Struct, frozen=True):
    """The X.509 roots of one trust domain. None at all means that it has withdrawn them."""

    roots: tuple[x509.Certificate, ...]
    sequence: int | None
    """``spiffe_sequence``: grows whenever the content changes."""
    hint: int | None
    """``spiffe_refresh_hint``, seconds."""


def read_bundle(document: bytes) -> TrustBundle:
    """The bundle of a document. Keys of other uses, as for JWT-SVIDs, are passed over, as the standard asks.

    Raises:
        BundleError: it is none, or a root of it can't be used; then none of it counts.
    """
    try:
        found = strict_object(document)
    except ValueError as error:
        raise BundleError(f"the document can't be read: {error}") from None
    keys = found.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise BundleError("the document has no list of keys")
    if len(keys) > MAX_ROOTS:
        raise BundleError(f"the document has more than {MAX_ROOTS} keys")
    roots = tuple(_root(number, key) for number, key in enumerate(keys) if key.get("use") == _USE)
    return TrustBundle(roots, _count(found, "spiffe_sequence"), _count(found, "spiffe_refresh_hint"))


def check_follows(found: TrustBundle, held: TrustBundle) -> None:
    """Check that ``found`` is not older than ``held``, as a replayed document would be.

    Raises:
        BundleError: its sequence goes back, or is gone.
    """
    if held.sequence is not None and (found.sequence is None or found.sequence < held.sequence):
        raise BundleError(f"spiffe_sequence goes back from {held.sequence} to {found.sequence}: the document is older")


def write_bundle(roots: Sequence[x509.Certificate], sequence: int, hint: int) -> bytes:
    """The document of ``roots``, to be fetched again after ``hint`` seconds."""
    document = {
        "spiffe_sequence": sequence,
        "spiffe_refresh_hint": hint,
        "keys": [_jwk(root) for root in _ordered(roots)],
    }
    return msgspec.json.encode(document)


def bundle_digest(roots: Sequence[x509.Certificate]) -> str:
    """Hex SHA-256 over the roots, whatever their order."""
    return hashlib.sha256(b"".join(_der(root) for root in _ordered(roots))).hexdigest()


def _root(number: int, jwk: Mapping[str, Any]) -> x509.Certificate:
    chain = jwk.get("x5c")
    if not isinstance(jwk.get("kty"), str) or not isinstance(chain, list) or len(chain) != 1:
        raise BundleError(f"key {number}: an {_USE} key has kty and exactly one certificate in x5c")
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(str(chain[0]), validate=True))
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        key = certificate.public_key()
    except (binascii.Error, *_UNREADABLE) as error:
        raise BundleError(f"key {number}: x5c can't be read: {type(error).__name__}") from None
    except x509.ExtensionNotFound:
        raise BundleError(f"key {number}: its certificate is no CA's") from None
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise BundleError(f"key {number}: its certificate's key is neither RSA, EC nor Ed25519")
    if not constraints.ca:
        raise BundleError(f"key {number}: its certificate is no CA's")
    return certificate


def _count(document: Mapping[str, Any], name: str) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BundleError(f"{name} is not a count")
    return value


def _jwk(root: x509.Certificate) -> dict[str, Any]:
    key = root.public_key()
    members: dict[str, Any] = {}
    if isinstance(key, rsa.RSAPublicKey):
        members = RSAAlgorithm.to_jwk(key, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        members = ECAlgorithm.to_jwk(key, as_dict=True)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        members = OKPAlgorithm.to_jwk(key, as_dict=True)
    kept: dict[str, Any] = {name: members[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in members}
    return {"use": _USE, **kept, "x5c": [base64.b64encode(_der(root)).decode()]}


def _ordered(roots: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    return sorted(roots, key=_der)


def _der(root: x509.Certificate) -> bytes:
    return root.public_bytes(Encoding.DER)
