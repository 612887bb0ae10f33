"""SIGKILL and a disk that takes no more: what was acknowledged is there, and the chain is whole."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.core.audit import GenesisRecord, decode, verify
from gateway.store.query import AuditReader, Filters

ROOT = Path(__file__).resolve().parents[2]


def start(path: Path, writer: str, *limit: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.store.crashing_writer", str(path), writer, *limit]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def kill_after(path: Path, writer: str, acknowledged: int) -> set[str]:
    """Ids that the process called durable before it was killed."""
    with start(path, writer) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledged)]
        process.kill()
        # What was in the pipe when it died was acknowledged too; a torn last line was not read by anyone.
        lines += [line for line in process.stdout if line.endswith("\n")]
    assert process.returncode == -9
    assert all(line.startswith("durable ") for line in lines), lines[-1]
    return {f"hop-{line.split()[1]}" for line in lines}


def test_every_acknowledged_record_survives_sigkill(
    path: Path, url: str, checks: Mapping[str, Any], open_file: Any
) -> None:
    durable = kill_after(path, "gw/0/a", 150)
    reader = AuditReader(url)
    stored = {found.record.id for found in reader.query(Filters(limit=10_000)).found}
    assert durable <= stored
    assert len(durable) >= 150
    report = verify(reader.rows(), (), checks)
    assert report.ok, report.fault
    end = list(reader.rows())[-1]

    kill_after(path, "gw/0/b", 20)
    open_file("gw/0/c").close()
    report = verify(reader.rows(), (), checks)
    assert report.ok, report.fault
    assert report.writers == 3
    geneses = [record for row in reader.rows() if isinstance(record := decode(row.payload), GenesisRecord)]
    assert geneses[1].predecessor is not None
    assert (geneses[1].predecessor.seq, geneses[1].predecessor.link) == (end.seq, end.link.hex())


def test_a_disk_that_takes_no_more_refuses_and_keeps_what_it_took(
    path: Path, url: str, checks: Mapping[str, Any]
) -> None:
    with start(path, "gw/0/a", "400000") as process:
        output = process.communicate(timeout=30)[0].splitlines()
    refused = [line for line in output if line.startswith("refused")]
    assert len(refused) == 20
    assert all("audit_unavailable" in line for line in refused)
    durable = {f"hop-{line.split()[1]}" for line in output if line.startswith("durable")}
    assert durable
    stored = {found.record.id for found in AuditReader(url).query(Filters(limit=10_000)).found}
    assert durable <= stored
    assert verify(AuditReader(url).rows(), (), checks).ok
