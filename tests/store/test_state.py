"""The state database: what it refuses to open, and that its failures are refusals."""

import sqlite3
import stat
from pathlib import Path

import pytest

from gateway.core.errors import StoreError
from gateway.core.ports import Binding
from gateway.core.reasons import Reason
from gateway.store.bindings import SqlBindings
from gateway.store.pulse import Pulse
from gateway.store.sql import audit_path, audit_paths, database_path
from gateway.store.state import open_state
from gateway.store.task_owners import SqlTaskOwners


async def test_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "hopgate.db"
    path.touch(0o644)
    engine = await open_state(f"sqlite:///{path}")
    try:
        await SqlBindings(engine, Pulse(engine)).bind("d", Binding("a", "t", 1, 1), 1)
        modes = file_modes(tmp_path)
    finally:
        await engine.dispose()
    assert set(modes.values()) == {0o600}, modes
    assert len(modes) == 3


async def test_a_locked_database_refuses(tmp_path: Path) -> None:
    path = tmp_path / "hopgate.db"
    engine = await open_state(f"sqlite:///{path}", busy_seconds=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        for asked in (
            SqlBindings(engine, Pulse(engine)).bind("d", Binding("a", "t", 1, 1), 1),
            SqlTaskOwners(engine).claim("r", "t", "o", 2**40),
        ):
            with pytest.raises(StoreError) as caught:
                await asked
            assert caught.value.reason is Reason.STORE_UNAVAILABLE
            assert "locked" in caught.value.detail
    finally:
        other.close()
        await engine.dispose()


async def test_a_failure_names_no_values(tmp_path: Path) -> None:
    path = tmp_path / "hopgate.db"
    engine = await open_state(f"sqlite:///{path}")
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE bindings")
    other.close()
    with pytest.raises(StoreError) as caught:
        await SqlBindings(engine, Pulse(engine)).bind("secret-digest", Binding("a", "t", 1, 1), 1)
    await engine.dispose()
    assert "secret-digest" not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hopgate.db"
    await (await open_state(f"sqlite:///{path}")).dispose()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE alembic_version SET version_num = 'state_9999'")
    other.close()
    with pytest.raises(StoreError) as caught:
        await open_state(f"sqlite:///{path}")
    assert "state_9999 is of a newer hopgate" in caught.value.detail


@pytest.mark.parametrize("content", [b"not a database " * 100])
async def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hopgate.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="store_unavailable") as caught:
        await open_state(f"sqlite:///{path}")
    assert "not a database" in caught.value.detail
    assert path.read_bytes() == content


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        await open_state(f"sqlite:///{tmp_path}/missing/hopgate.db")


@pytest.mark.parametrize(
    "url",
    ["", "hopgate.db", "sqlite://", "sqlite:///:memory:", "postgresql://x/y", "sqlite:///a.db?mode=rw", "sqlite://h/x"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="store URL"):
        database_path(url)


def test_audit_files_lie_beside_the_state(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gate.way.db"
    names = [audit_path(url, worker) for worker in (0, 1, 2, 10)]
    assert [path.name for path in names] == [
        "gate.way.audit.db",
        "gate.way.audit.1.db",
        "gate.way.audit.2.db",
        "gate.way.audit.10.db",
    ]
    for path in (*names, *(tmp_path / other for other in ("gate.way.db", "gate.audit.db", "gate.way.audit.x.db"))):
        path.touch()
    assert audit_paths(url) == tuple(names)


def file_modes(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
