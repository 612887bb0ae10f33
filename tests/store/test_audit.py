"""The audit log that hops wait for: grouped, durable, and failing closed."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.core.audit import CheckpointRecord, Record, verify
from gateway.core.errors import StoreError
from gateway.core.ports import AuditLog
from gateway.core.reasons import Reason
from gateway.store.audit import GROUP_RECORDS, SqlAuditLog
from gateway.store.audit_file import AuditFile, CheckpointRule, Committed
from gateway.store.query import AuditReader, Filters
from tests.store.samples import decision


@asynccontextmanager
async def running(file: AuditFile, **facts: Any) -> AsyncIterator[SqlAuditLog]:
    log = SqlAuditLog(file, **facts)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(log.run())
        try:
            yield log
        finally:
            task.cancel()


class SlowFile:
    """An audit file whose commits wait to be let go; remembers the groups."""

    rule = CheckpointRule()

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def commit(self, group: Sequence[Record]) -> Committed:
        self.groups.append(len(group))
        self.entered.set()
        assert self.go_on.wait(5)
        return Committed([None] * len(group), None)

    def close(self) -> None:
        pass


async def test_an_appended_record_is_on_the_disk(open_file: Any, url: str) -> None:
    async with running(open_file()) as log:
        port: AuditLog = log
        await port.append(decision(1))
        assert [found.record.id for found in AuditReader(url).query(Filters()).found] == ["hop-1"]


async def test_what_arrives_together_is_committed_together(open_file: Any, url: str, checks: Any) -> None:
    groups: list[int] = []
    async with running(open_file(), on_commit=lambda records, seconds: groups.append(records)) as log:
        await asyncio.gather(*(log.append(decision(number)) for number in range(150)))
    assert groups == [64, 64, 22]
    assert verify(AuditReader(url).rows(), (), checks).ok
    assert len(AuditReader(url).query(Filters(limit=1000)).found) == 150


async def test_append_returns_only_after_the_commit() -> None:
    file: Any = SlowFile()
    async with running(file) as log:
        appended = start(log.append(decision(1)))
        await asyncio.to_thread(file.entered.wait, 5)
        await asyncio.sleep(0.02)
        assert not appended.done()
        file.go_on.set()
        await asyncio.wait_for(appended, 5)


async def test_a_failure_refuses_all_that_wait_and_the_next_commit_heals(open_file: Any, path: Path, url: str) -> None:
    failures: list[StoreError] = []
    async with running(open_file(), on_failure=failures.append) as log:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = [log.append(decision(number)) for number in range(GROUP_RECORDS * 2)]
        errors = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1)
        assert {type(error) for error in errors} == {StoreError}
        assert {error.reason for error in errors if isinstance(error, StoreError)} == {Reason.AUDIT_UNAVAILABLE}
        with pytest.raises(StoreError, match="locked"):
            await log.append(decision(500))
        other.close()
        await log.append(decision(501))
    # One for the group that failed with all behind it, one for the next try.
    assert ["locked" in failure.detail for failure in failures] == [True, True]
    assert [found.record.id for found in AuditReader(url).query(Filters()).found] == ["hop-501"]


async def test_a_closed_log_refuses_at_once(open_file: Any) -> None:
    async with running(open_file()) as log:
        await log.append(decision(1))
    with pytest.raises(StoreError, match="closed"):
        await log.append(decision(2))


async def test_stopping_answers_everyone() -> None:
    file: Any = SlowFile()
    async with running(file) as log:
        committing = start(log.append(decision(1)))
        await asyncio.to_thread(file.entered.wait, 5)
        waiting = start(log.append(decision(2)))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, file.go_on.set)
    # The commit in flight ended well; the other record was never written.
    assert await committing is None
    with pytest.raises(StoreError, match="closed"):
        await waiting
    assert file.groups == [1]


async def test_a_caller_that_leaves_harms_nobody(open_file: Any, url: str) -> None:
    async with running(open_file()) as log:
        leaving = start(log.append(decision(1)))
        staying = start(log.append(decision(2)))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait_for(staying, 5)
        with suppress(asyncio.CancelledError):
            await leaving
        await log.append(decision(3))
    assert {found.record.id for found in AuditReader(url).query(Filters()).found} >= {"hop-2", "hop-3"}


async def test_a_bad_record_is_refused_and_its_neighbours_are_not(open_file: Any) -> None:
    async with running(open_file()) as log:
        appended = (log.append(decision(1)), log.append(decision(2, user="\ud800")), log.append(decision(3)))
        found = await asyncio.gather(*appended, return_exceptions=True)
    assert [type(each) for each in found] == [type(None), StoreError, type(None)]


async def test_checkpoints_are_handed_out_when_they_are_due(open_file: Any) -> None:
    signed: asyncio.Queue[CheckpointRecord] = asyncio.Queue()
    file = open_file(rule=CheckpointRule(records=1000, seconds=0.05))
    async with running(file, on_checkpoint=signed.put_nowait) as log:
        await log.append(decision(1))
        found = await asyncio.wait_for(signed.get(), 5)
        await asyncio.sleep(0.2)
    assert found.heads[0].seq == 2
    assert signed.empty(), "nothing new, nothing to sign"


def start(appended: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(appended)
