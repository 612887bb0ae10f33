"""A node's place for each test, and cgroups that are gone afterwards."""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bpf.nodes import CGROUP2, Place
from tests.peers.parts import refuse


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def new_cgroup() -> Iterator[Callable[[], Path]]:
    """Makes empty cgroups."""
    if not os.access(CGROUP2, os.W_OK):
        refuse("cgroups of version 2 can't be made here: run the tests as root")
    made: list[Path] = []

    def make() -> Path:
        made.append(CGROUP2 / f"hopgate-test-{secrets.token_hex(6)}")
        made[-1].mkdir()
        return made[-1]

    yield make
    for each in made:
        if each.exists():
            each.rmdir()
