"""One boot's audit file: chained, private, exclusive, and honest about what it could not write."""

import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gateway.core.audit import CheckpointRecord, GenesisRecord, decode, verify
from gateway.core.errors import StoreError
from gateway.core.reasons import Reason
from gateway.store import tables
from gateway.store.audit_file import AuditFile, CheckpointRule
from gateway.store.query import AuditReader, Filters
from gateway.store.sql import writing_engine
from gateway.store.state import open_state
from tests.store.samples import decision


def records(url: str) -> list[Any]:
    return [decode(row.payload) for row in AuditReader(url).rows()]


def test_a_boot_begins_with_its_genesis_and_a_checkpoint(open_file: Any, url: str, checks: Any) -> None:
    open_file("gw/0/a").close()
    genesis, signed = records(url)
    assert isinstance(genesis, GenesisRecord)
    assert (genesis.writer, genesis.seq, genesis.predecessor) == ("gw/0/a", 0, None)
    assert isinstance(signed, CheckpointRecord)
    report = verify(AuditReader(url).rows(), (), checks)
    assert (report.ok, report.checkpoints) == (True, 1)


def test_the_next_boot_names_where_the_last_one_ended(open_file: Any, url: str, checks: Any) -> None:
    first = open_file("gw/0/a")
    first.commit([decision(1), decision(2)])
    first.close()
    open_file("gw/0/b").close()
    genesis = next(record for record in records(url) if record.writer == "gw/0/b")
    last = [row for row in AuditReader(url).rows() if row.writer == "gw/0/a"][-1]
    assert (genesis.predecessor.writer, genesis.predecessor.seq) == ("gw/0/a", last.seq)
    assert genesis.predecessor.link == last.link.hex()
    assert verify(AuditReader(url).rows(), (), checks).ok


def test_a_second_process_may_not_write_the_same_file(open_file: Any) -> None:
    first = open_file("gw/0/a")
    with pytest.raises(StoreError, match="written by another process"):
        open_file("gw/0/b")
    first.close()
    open_file("gw/0/c")


def test_files_are_private(open_file: Any, tmp_path: Path) -> None:
    open_file().commit([decision(1)])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("hopgate.audit*")}
    assert len(modes) == 4
    assert set(modes.values()) == {0o600}, modes


def test_checkpoints_come_by_number(open_file: Any, url: str) -> None:
    file = open_file(rule=CheckpointRule(records=4, seconds=1e9))
    signed = [file.commit([decision(n), decision(n + 1)]).checkpoint for n in range(0, 10, 2)]
    assert [found is not None for found in signed] == [False, True, False, True, False]
    assert signed[1].heads[0].seq == 5
    assert records(url)[6] == signed[1]


def test_checkpoints_come_by_time_if_there_is_anything_new(open_file: Any) -> None:
    now = [1000.0]
    file = open_file(rule=CheckpointRule(records=100, seconds=10), clock=lambda: now[0])
    assert file.commit([decision(1)]).checkpoint is None
    now[0] += 11
    assert file.commit([]).checkpoint is not None
    now[0] += 11
    assert file.commit([]).checkpoint is None


def test_closing_signs_what_is_new(open_file: Any, url: str, checks: Any) -> None:
    file = open_file()
    file.commit([decision(1)])
    file.close()
    assert isinstance(records(url)[-1], CheckpointRecord)
    (beyond,) = verify(AuditReader(url).rows(), (), checks).beyond
    assert beyond.count == 1, "only the last checkpoint itself lies beyond"


def test_without_a_signer_there_are_no_checkpoints(open_file: Any, url: str) -> None:
    file = open_file(signer=None, rule=CheckpointRule(records=1))
    file.commit([decision(1)])
    file.close()
    assert [type(record).__name__ for record in records(url)] == ["GenesisRecord", "DecisionRecord"]


def test_a_record_that_cannot_be_written_fails_alone(open_file: Any, url: str, checks: Any) -> None:
    file = open_file()
    errors = file.commit([decision(1), decision(2, user="\ud800"), decision(3)]).errors
    assert [error is None for error in errors] == [True, False, True]
    assert [found.record.id for found in AuditReader(url).query(Filters()).found] == ["hop-3", "hop-1"]
    assert verify(AuditReader(url).rows(), (), checks).ok


def test_a_full_database_refuses_and_recovers(open_file: Any, url: str, checks: Any) -> None:
    file = open_file()
    limit(file, "max_page_count=40")
    written = fill(file)
    # The next try begins with a fresh connection, and finds room.
    file.commit([decision(5000)])
    found = [record.id for record in records(url) if record.id.startswith("hop-")]
    assert found == [*(f"hop-{number}" for number in range(written)), "hop-5000"]
    assert verify(AuditReader(url).rows(), (), checks).ok


def test_a_read_only_database_refuses_and_recovers(open_file: Any, url: str, checks: Any) -> None:
    file = open_file()
    limit(file, "query_only=ON")
    with pytest.raises(StoreError, match="readonly"):
        file.commit([decision(1)])
    file.commit([decision(2)])
    assert [found.record.id for found in AuditReader(url).query(Filters()).found] == ["hop-2"]
    assert verify(AuditReader(url).rows(), (), checks).ok


def test_a_locked_database_refuses_and_recovers(open_file: Any, path: Path, url: str, checks: Any) -> None:
    file = open_file()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        file.commit([decision(1)])
    other.close()
    file.commit([decision(2)])
    assert [found.record.id for found in AuditReader(url).query(Filters()).found] == ["hop-2"]
    assert verify(AuditReader(url).rows(), (), checks).ok


def test_a_commit_whose_end_is_unknown_does_not_fork_the_chain(open_file: Any, url: str, checks: Any) -> None:
    file = open_file()
    file.commit([decision(1)])
    write = file._write

    def write_and_fail(chained: Any) -> None:
        write(chained)
        raise OSError(5, "Input/output error")

    file._write = write_and_fail
    with pytest.raises(StoreError, match="Input/output"):
        file.commit([decision(2)])
    file._write = write
    file.commit([decision(3)])
    found = [record.id for record in records(url) if record.id.startswith("hop-")]
    assert found == ["hop-1", "hop-2", "hop-3"]
    assert verify(AuditReader(url).rows(), (), checks).ok


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_that_was_taken_away_is_noticed(open_file: Any, path: Path, replace: bool) -> None:
    file = open_file()
    file.commit([decision(1)])
    moved = path.rename(path.with_name("moved.db"))
    if replace:
        path.write_bytes(moved.read_bytes())
    with pytest.raises(StoreError, match="replaced" if replace else "No such file"):
        file.commit([decision(2)])


def test_rows_cannot_be_changed_by_accident(open_file: Any, path: Path) -> None:
    open_file().commit([decision(1)])
    with sqlite3.connect(path) as other:
        for statement in ("DELETE FROM records", "UPDATE records SET agent = 'x'", "DELETE FROM record_policies"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(statement)
    other.close()


def test_a_database_of_a_newer_version_is_refused(open_file: Any, path: Path) -> None:
    open_file().close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE alembic_version SET version_num = 'audit_9999'")
    other.close()
    with pytest.raises(StoreError, match="newer hopgate"):
        open_file("gw/0/b")
    with pytest.raises(StoreError, match="newer hopgate"):
        list(AuditReader(f"sqlite:///{path.parent}/hopgate.db").rows())


@pytest.mark.parametrize("database", ["audit", "state"])
async def test_the_migrations_make_the_tables(open_file: Any, path: Path, tmp_path: Path, database: str) -> None:
    if database == "audit":
        open_file().close()
        engine = writing_engine(path, 1.0)
    else:
        await (await open_state(f"sqlite:///{tmp_path}/hopgate.db")).dispose()
        engine = writing_engine(tmp_path / "hopgate.db", 1.0)
    metadata = {"audit": tables.audit, "state": tables.state}[database]
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"missing/x\.db: No such file"):
        AuditFile(tmp_path / "missing" / "x.db", "gw/0/a")


def fill(file: AuditFile) -> int:
    """Commit until the disk is full; how many worked."""
    for number in range(1000):
        try:
            file.commit([decision(number)])
        except StoreError as error:
            assert error.reason is Reason.AUDIT_UNAVAILABLE
            assert "full" in error.detail
            return number
    raise AssertionError("the disk never got full")


def limit(file: AuditFile, pragma: str) -> None:
    """Limit the connection that the file writes with, until it takes another one."""
    with file._engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA {pragma}")
