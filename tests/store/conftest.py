"""A signer, and audit files in a folder of the test's own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.core.audit import Signer
from gateway.core.audit.verify import CheckSignature
from gateway.core.errors import StoreError
from gateway.store.audit_file import AuditFile
from gateway.store.checkpoint_key import load_checks, load_or_create
from gateway.store.sql import audit_path

OpenFile = Callable[..., AuditFile]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/hopgate.db"


@pytest.fixture
def path(url: str) -> Path:
    return audit_path(url)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return load_or_create(tmp_path / "checkpoint.pem")


@pytest.fixture
def checks(tmp_path: Path, signer: Signer) -> Mapping[str, CheckSignature]:
    return load_checks(tmp_path / "checkpoint.pem.pub")


@pytest.fixture
def open_file(path: Path, signer: Signer) -> Iterator[OpenFile]:
    """Opens the test's audit file for one boot; closes what is left open."""
    opened: list[AuditFile] = []

    def open_one(writer: str = "gw/0/a", **facts: Any) -> AuditFile:
        file = AuditFile(path, writer, facts.pop("signer", signer), **{"busy_seconds": 0.1} | facts)
        opened.append(file)
        return file

    yield open_one
    for file in opened:
        if not file.closed:
            with suppress(StoreError):
                file.close()
