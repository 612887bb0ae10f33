"""The audit log that hops wait for: groups what arrives within a millisecond into one durable commit.

Fulfils ``core.ports.AuditLog``. After a failed commit everything that waits is refused at once; the
next append is the next try, so the log recovers as soon as the disk does.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from gateway.core.audit import CheckpointRecord, Record
from gateway.core.errors import StoreError
from gateway.core.reasons import Reason
from gateway.store.audit_file import AuditFile, Committed

GROUP_RECORDS = 64
GROUP_SECONDS = 0.001

_Waiting = tuple[Record, "asyncio.Future[None]"]


class SqlAuditLog:
    """Group commit over one AuditFile. Its owner runs ``run`` in a TaskGroup; cancelling that ends the log.

    ``on_commit(records, seconds)`` and ``on_checkpoint(checkpoint)`` are called in the event loop after
    each commit, ``on_failure(error)`` after one that failed; none may raise. A checkpoint is worth what it
    proves only where this host can't change it.
    """

    def __init__(
        self,
        file: AuditFile,
        *,
        on_commit: Callable[[int, float], None] = lambda records, seconds: None,
        on_failure: Callable[[StoreError], None] = lambda error: None,
        on_checkpoint: Callable[[CheckpointRecord], None] = lambda checkpoint: None,
    ) -> None:
        self._file = file
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._on_checkpoint = on_checkpoint
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "audit")

    @property
    def waiting(self) -> int:
        """Records that no commit has begun for."""
        return len(self._waiting)

    async def append(self, record: Record, *first: Record) -> None:
        """Commit ``record``, after what stands ``first``; returns when durable. Before ``run`` has begun it waits.

        Raises:
            StoreError: AUDIT_UNAVAILABLE; it may not be on the disk, so nothing may be forwarded.
        """
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        waiting: list[_Waiting] = [(each, loop.create_future()) for each in (*first, record)]
        self._waiting.extend(waiting)
        self._arrived.set()
        if len(self._waiting) >= GROUP_RECORDS:
            self._full.set()
        await asyncio.gather(*(done for _, done in waiting))

    async def run(self) -> None:
        """Commit groups until cancelled; then refuse what waits, sign a last checkpoint, close the file."""
        loop = asyncio.get_running_loop()
        group: list[_Waiting] = []
        try:
            while True:
                group = await self._next_group()
                await self._commit(group)
        finally:
            self._closed = True
            _fail([*group, *self._waiting], _closed())
            self._waiting.clear()
            # Without the last signature nothing is lost: verify says what lies beyond the one before.
            with suppress(StoreError):
                await loop.run_in_executor(self._thread, self._file.close)
            self._thread.shutdown(wait=False)

    async def _next_group(self) -> list[_Waiting]:
        """Up to GROUP_RECORDS that arrived within GROUP_SECONDS; none when only a checkpoint may be due."""
        try:
            async with asyncio.timeout(self._file.rule.seconds):
                await self._arrived.wait()
            async with asyncio.timeout(GROUP_SECONDS):
                await self._full.wait()
        except TimeoutError:
            pass
        group = self._waiting[:GROUP_RECORDS]
        del self._waiting[:GROUP_RECORDS]
        if not self._waiting:
            self._arrived.clear()
        if len(self._waiting) < GROUP_RECORDS:
            self._full.clear()
        return group

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        began = time.perf_counter()
        records = [record for record, _ in group]
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._file.commit, records)
        try:
            # A cancelled run still tells every hop what became of its record.
            committed = await asyncio.shield(work)
        except asyncio.CancelledError:
            self._settle(group, await _result(work))
            raise
        except StoreError as error:
            self._on_failure(error)
            _fail([*group, *self._waiting], error)
            self._waiting.clear()
            return
        self._settle(group, committed)
        if group:
            self._on_commit(len(group), time.perf_counter() - began)

    def _settle(self, group: Sequence[_Waiting], committed: Committed | StoreError) -> None:
        if isinstance(committed, StoreError):
            _fail(group, committed)
            return
        for (_, done), error in zip(group, committed.errors, strict=True):
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
        if committed.checkpoint is not None:
            self._on_checkpoint(committed.checkpoint)


async def _result(work: "asyncio.Future[Committed]") -> Committed | StoreError:
    try:
        return await work
    except StoreError as error:
        return error


def _fail(waiting: Sequence[_Waiting], error: StoreError) -> None:
    for _, done in waiting:
        if not done.done():
            # One exception object must not be raised by many tasks: each adds its own traceback.
            done.set_exception(StoreError(error.reason, error.detail))


def _closed() -> StoreError:
    return StoreError(Reason.AUDIT_UNAVAILABLE, "the audit log is closed")
