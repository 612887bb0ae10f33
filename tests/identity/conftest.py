"""Fixtures of the identity tests."""

from pathlib import Path

import pytest

from tests.identity.pki import World, root


@pytest.fixture(scope="session")
def world() -> World:
    return World(root("a root"), root("b root"))


@pytest.fixture
def pem_files(tmp_path: Path, world: World) -> tuple[Path, Path]:
    pair = world.leaf().pair
    certificate, key = tmp_path / "svid.pem", tmp_path / "svid-key.pem"
    certificate.write_bytes(pair.certificates_pem)
    key.write_bytes(pair.key_pem)
    return certificate, key
