from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from gateway.identity.material import KeyPair, Material, MaterialError, read_bundles, read_key_pair
from gateway.identity.svid import thumbprint
from tests.identity.pki import NOW, World


def test_reads_what_was_written(pem_files: tuple[Path, Path]) -> None:
    pair = read_key_pair(*pem_files)
    assert pair.x5t == thumbprint(pair.chain_der[0])
    assert len(pair.x5t) == 43


def test_reads_bundles(tmp_path: Path, world: World) -> None:
    file = tmp_path / "roots.pem"
    file.write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in (world.a.certificate, world.b.certificate)))
    assert read_bundles({"a.test": file}) == {"a.test": (world.a.certificate, world.b.certificate)}


def test_refuses_another_certificates_key(pem_files: tuple[Path, Path]) -> None:
    certificate, key = pem_files
    other = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(MaterialError, match=r"svid-key\.pem: is not the private key of .*svid\.pem"):
        read_key_pair(certificate, key)


def test_refuses_an_encrypted_key(pem_files: tuple[Path, Path]) -> None:
    certificate, key = pem_files
    other = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(MaterialError, match="unencrypted"):
        read_key_pair(certificate, key)


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_refuses_files_without_a_certificate(pem_files: tuple[Path, Path], content: bytes) -> None:
    certificate, key = pem_files
    certificate.write_bytes(content)
    with pytest.raises(MaterialError, match=r"svid\.pem: holds no PEM certificate"):
        read_key_pair(certificate, key)
    with pytest.raises(MaterialError, match="holds no PEM certificate"):
        read_bundles({"a.test": certificate})


def test_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MaterialError, match=r"absent\.pem: can't be read: No such file"):
        read_key_pair(tmp_path / "absent.pem", tmp_path / "absent.pem")


def test_own_identity(world: World) -> None:
    assert world.material().identity(NOW.timestamp()).spiffe_id == "spiffe://a.test/hopgate"


def test_own_identity_that_peers_would_refuse(world: World) -> None:
    expired = world.material(not_after=NOW - timedelta(seconds=1))
    with pytest.raises(MaterialError, match="own certificate is not a valid SVID: path"):
        expired.identity(NOW.timestamp())


@pytest.mark.parametrize("role", [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
def test_own_identity_must_serve_both_roles(world: World, role: ObjectIdentifier) -> None:
    with pytest.raises(MaterialError, match="extended_key_usage"):
        world.material(extended=[role]).identity(NOW.timestamp())


def test_repr_holds_no_key(world: World) -> None:
    material = world.material()
    assert isinstance(material, Material)
    assert isinstance(material.own, KeyPair)
    assert "PRIVATE" not in repr(material)
    assert "PRIVATE" not in repr(material.own)
    assert material.x5t in repr(material)
