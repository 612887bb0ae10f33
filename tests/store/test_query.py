"""Searching the log: every filter, pages, files of several workers, and columns that lie."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.core.audit import DecisionRecord, Record, RefusedRecord, Workload, outcome_record
from gateway.core.errors import StoreError
from gateway.core.model import Outcome, Uid
from gateway.core.reasons import Reason
from gateway.store.audit_file import AuditFile
from gateway.store.query import AuditReader, Filters
from gateway.store.sql import audit_path
from tests.store.samples import NOW, decision, deny, hop, minted, permit, policy, recorded, spiffe

LOG: tuple[Record, ...] = (
    recorded(permit(hop("p1", ("planner",), at=NOW, txn="t1"), policy("finance-read"), policy("second")), minted("p1")),
    outcome_record(hop("p1"), Outcome(ok=True, reason=Reason.PERMITTED, status=200), 30),
    recorded(permit(hop("p2", ("planner", "analyst"), tool="pay", at=NOW + 1000, txn="t1"), policy("pay"))),
    recorded(
        deny(hop("d1", ("auditor",), at=NOW + 2000, txn="t2"), Reason.FORBIDDEN, policy("no", "forbid")),
        trace_id="e" * 32,
    ),
    RefusedRecord(
        id="r1",
        hop="r1",
        at=NOW + 3000,
        reason=Reason.CHAIN_HOLDER,
        agent=Workload(spiffe_id=spiffe("thief"), x5t="x"),
        user="corp|mallory",
        txn="t1",
        trace_id="e" * 32,
        action="delegate",
        resource=Uid("Agent", "analyst"),
    ),
)


@pytest.fixture
def reader(open_file: Any, url: str) -> AuditReader:
    open_file().commit(LOG)
    return AuditReader(url)


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, ["r1", "d1", "p2", "p1"]),
        ({"agent": "analyst"}, ["p2"]),
        ({"agent": spiffe("thief")}, ["r1"]),
        ({"user": "corp|maria"}, ["d1", "p2", "p1"]),
        ({"policy": "second"}, ["p1"]),
        ({"policy": "no"}, ["d1"]),
        ({"action": "delegate"}, ["r1"]),
        ({"resource": "ledger/pay"}, ["p2"]),
        ({"resource": "analyst", "resource_type": "Agent"}, ["r1"]),
        ({"resource": "analyst", "resource_type": "McpServer"}, []),
        ({"verdict": "permit"}, ["p2", "p1"]),
        ({"verdict": "refused"}, ["r1"]),
        ({"since": NOW + 1000, "until": NOW + 3000}, ["d1", "p2"]),
        ({"trace_id": "e" * 32}, ["r1", "d1"]),
        ({"txn": "t1"}, ["r1", "p2", "p1"]),
        ({"txn": "t1", "verdict": "permit", "policy": "pay"}, ["p2"]),
        ({"agent": "' OR 1=1 --"}, []),
    ],
)
def test_filters(reader: AuditReader, filters: Mapping[str, Any], ids: list[str]) -> None:
    assert [found.record.id for found in reader.query(Filters(**filters)).found] == ids


def test_a_found_hop_brings_its_outcome(reader: AuditReader) -> None:
    (found,) = reader.query(Filters(policy="finance-read")).found
    assert found.outcome is not None
    assert (found.outcome.duration_ms, found.outcome.status) == (30, 200)


def test_pages_follow_each_other_without_gap_or_overlap(open_file: Any, url: str) -> None:
    # Many records of one millisecond: the page mark must tell them apart.
    open_file().commit([replace(decision(number), at=NOW) for number in range(25)])
    reader, seen, mark = AuditReader(url), list[str](), None
    for _ in range(3):
        page = reader.query(Filters(limit=10, before=mark))
        seen += [found.record.id for found in page.found]
        mark = page.next
    assert mark is None
    assert sorted(seen) == sorted(f"hop-{number}" for number in range(25))


@pytest.mark.parametrize(
    ("key", "ids"),
    [
        ("t1", ["p1", "p1.outcome", "p2", "r1"]),
        ("p2", ["p1", "p1.outcome", "p2", "r1"]),
        ("e" * 32, ["d1", "r1"]),
        ("r1", ["r1"]),
        ("nothing", []),
        ("", []),
    ],
)
def test_chains_by_txn_trace_or_decision(reader: AuditReader, key: str, ids: list[str]) -> None:
    assert [record.id for record in reader.chain(key)] == ids


def test_all_workers_files_are_searched(open_file: Any, url: str) -> None:
    open_file().commit([decision(1)])
    other = AuditFile(audit_path(url, 1), "gw/1/a")
    other.commit([decision(2)])
    found = AuditReader(url).query(Filters(limit=1))
    assert [one.record.id for one in found.found] == ["hop-2"]
    assert found.next is not None
    assert [one.record.id for one in AuditReader(url).query(Filters(before=found.next)).found] == ["hop-1"]
    other.close()


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no audit log at .*hopgate\.audit\.db"):
        AuditReader(f"sqlite:///{tmp_path}/hopgate.db")


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hopgate.audit.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        AuditReader(f"sqlite:///{tmp_path}/hopgate.db").query(Filters())


def test_an_unfinished_log_is_refused(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "hopgate.audit.db").execute("CREATE TABLE x (y)").connection.close()
    with pytest.raises(StoreError, match="older than this hopgate"):
        AuditReader(f"sqlite:///{tmp_path}/hopgate.db").query(Filters())


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE records SET agent = 'somebody' WHERE hop = 'p2'",
        "UPDATE records SET at = at - 86400000 WHERE hop = 'p2'",
        "UPDATE records SET verdict = NULL WHERE hop = 'p2'",
        "UPDATE records SET txn = 't9' WHERE hop = 'p2'",
        "DELETE FROM record_policies WHERE policy = 'pay'",
        "UPDATE record_policies SET policy = 'harmless' WHERE policy = 'pay'",
        "INSERT INTO record_policies SELECT 'innocent', writer, seq FROM records WHERE hop = 'p2'",
    ],
)
def test_columns_that_hide_a_record_are_found(reader: AuditReader, path: Path, edit: str) -> None:
    assert reader.index_fault() is None
    tamper(path, edit)
    fault = reader.index_fault()
    assert fault is not None
    hidden = next(record for record in LOG if record.id == "p2")
    # Genesis and first checkpoint come before the log's records.
    assert (fault.writer, fault.seq) == ("gw/0/a", LOG.index(hidden) + 2)
    assert isinstance(hidden, DecisionRecord)


def tamper(path: Path, statement: str) -> None:
    """Edit an audit file as somebody would who owns it."""
    with sqlite3.connect(path) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
    connection.close()


def test_few_records_among_many_are_found_without_reading_the_others(reader: AuditReader, url: str) -> None:
    connection = sqlite3.connect(audit_path(url))
    for kind in ("facts", "admin"):
        told = connection.execute(f"explain query plan select payload from records where kind = '{kind}' order by at")
        assert f"records_{kind}" in str(told.fetchall())
    for order in ("at, entry", "at desc, entry desc"):
        decisions = f"select payload from records where kind = 'decision' and at >= 7 order by {order}"
        told = connection.execute(f"explain query plan {decisions}")
        assert "SEARCH" in (plan := str(told.fetchall()))
        assert "records_at" in plan
    connection.close()
    assert reader.administration() == ()
    assert list(reader.facts()) == []


def test_the_newest_decisions_of_all_files_come_first(open_file: Any, url: str) -> None:
    open_file().commit(LOG)
    other = AuditFile(audit_path(url, 1), "gw/1/a")
    other.commit([recorded(permit(hop("w1", ("planner",), at=NOW + 500), policy("finance-read")))])
    other.close()
    reader = AuditReader(url)
    newest = [record.hop for record in reader.newest_decisions(0, None, 3)]
    assert newest == ["d1", "p2", "w1"]
    assert [record.hop for record in reader.newest_decisions(NOW, NOW + 1000, 9)] == ["w1", "p1"]
