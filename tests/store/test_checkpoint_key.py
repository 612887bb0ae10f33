"""The checkpoint key: made once, private, and checked only by its own public half."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.store.checkpoint_key import load_checks, load_or_create

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    first, second = load_or_create(path), load_or_create(path)
    assert first.key_id == second.key_id
    assert first.sign(b"m") == second.sign(b"m")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "PRIVATE" not in path.with_name("key.pem.pub").read_text()


def test_the_public_half_checks_signatures(tmp_path: Path) -> None:
    signer = load_or_create(tmp_path / "key.pem")
    check = load_checks(tmp_path / "key.pem.pub")[signer.key_id]
    assert check(b"message", signer.sign(b"message"))
    assert not check(b"other", signer.sign(b"message"))
    assert not check(b"message", b"")


def test_a_file_may_hold_the_keys_of_several_years(tmp_path: Path) -> None:
    signers = [load_or_create(tmp_path / name) for name in ("old", "new")]
    both = tmp_path / "both.pem"
    both.write_text("".join((tmp_path / f"{name}.pub").read_text() for name in ("old", "new")))
    checks = load_checks(both)
    assert set(checks) == {signer.key_id for signer in signers}
    assert all(checks[signer.key_id](b"m", signer.sign(b"m")) for signer in signers)


def test_other_keys_are_refused(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "ec.pem"
    path.write_bytes(other.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
    with pytest.raises(ValueError, match="Ed25519"):
        load_or_create(path)
    path.write_bytes(other.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(ValueError, match="Ed25519"):
        load_checks(path)
    path.write_text("rubbish")
    with pytest.raises(ValueError, match="no public key"):
        load_checks(path)
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"x"))
    )
    with pytest.raises(ValueError, match="unencrypted"):
        load_or_create(path)
