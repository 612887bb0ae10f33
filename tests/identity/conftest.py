"""Fixtures of the identity tests."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.identity.pki import World, root

Run = Callable[[Awaitable[Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def runner(work: Any) -> Any:
        with asyncio.Runner(loop_factory=factory) as loop:
            return loop.run(work)

    return runner


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
