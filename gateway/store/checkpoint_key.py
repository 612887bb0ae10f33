"""The Ed25519 key that signs checkpoints, and the public half that an auditor checks them with.

Key id: the first 16 hex digits of SHA-256 over the 32 bytes of the public key.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.core.audit import Signer
from gateway.core.audit.verify import CheckSignature

_END = b"-----END PUBLIC KEY-----"


def load_or_create(path: Path) -> Signer:
    """The signer of the PKCS#8 PEM file ``path``; a missing one is made (0600), its public half is in ``path.pub``.

    Raises:
        ValueError: the file holds no unencrypted Ed25519 key.
        OSError: a file can't be read or written.
    """
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        found = _create(path)
    except TypeError as error:
        raise ValueError(f"{path} is encrypted; give an unencrypted key file") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise ValueError(f"{path} holds another kind of key; checkpoints are signed with Ed25519")
    return Signer(_key_id(found.public_key()), found.sign)


def load_checks(path: Path) -> Mapping[str, CheckSignature]:
    """Signature checks by key id, of a file with one or more Ed25519 public keys in PEM.

    Raises:
        ValueError: the file holds none, or something else.
        OSError: it can't be read.
    """
    checks: dict[str, CheckSignature] = {}
    for block in path.read_bytes().split(_END)[:-1]:
        key = serialization.load_pem_public_key(block.lstrip() + _END + b"\n")
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError(f"{path} holds another kind of key; checkpoints are signed with Ed25519")
        checks[_key_id(key)] = _check(key)
    if not checks:
        raise ValueError(f"{path} holds no public key in PEM; use the .pub file beside the gateway's checkpoint key")
    return checks


def _create(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(private)
        file.flush()
        os.fsync(file.fileno())
    path.with_name(f"{path.name}.pub").write_bytes(public)
    return key


def _check(key: Ed25519PublicKey) -> CheckSignature:
    def check(message: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return check


def _key_id(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]
