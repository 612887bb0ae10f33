"""Follows one loader's denials into the audit log: each a record, or one of a number that a record gives.

Where it stopped is kept after the records are durable, so that a kill repeats some and loses none; what a loader had to
forget meanwhile shows by its numbers, and is recorded as left out. What an event means is ``core.kernel.denials``'s.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from gateway.app.kernel.loader_client import LoaderError
from gateway.app.kernel.node import Node
from gateway.core.audit import KernelRecord
from gateway.core.errors import StoreError
from gateway.core.kernel.denials import Event, denial_record, left_out_record, read_event
from gateway.core.kernel.shadows import QUARANTINE, Shadow, shadow_record
from gateway.core.kernel.standing import Mark
from gateway.core.ports import AuditLog
from gateway.core.registry import Registry

RETRY_SECONDS = 1.0
SUM_SECONDS = 1.0
"""How often what is only counted is recorded, and where it stopped is kept."""
BATCH = 64
MOST_WAITING = 1024
MOST_CLASSES = 64
OTHER_CLASSES = ""
TOO_MANY = "more than kernel.events_per_second"
LOST = "the loader kept no more of them, or was restarted"
UNWRITTEN = "the audit log could not be written"
UNREADABLE = "lines of the loader that are no events"


class Follower:
    """One node's events. ``run`` beside everything else."""

    def __init__(
        self,
        node: Node,
        audit: AuditLog,
        registry: Callable[[], Registry],
        per_second: int,
        new_id: Callable[[], str],
    ) -> None:
        self._node = node.name
        self._client = node.loader
        self._nodes = node.kept
        self._telemetry = node.telemetry
        self._clock = node.clock
        self._audit = audit
        self._registry = registry
        self._per_second = per_second
        self._new_id = new_id
        self._mark: Mark | None = None
        self._kept: Mark | None = None
        self._left_out: Counter[tuple[str, str]] = Counter()
        """By class and cause."""
        self._second = 0.0
        self._in_second = 0
        self._waiting: list[KernelRecord] = []
        self._failing = False
        self._keeping = asyncio.Lock()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._sum())

    async def _follow(self) -> None:
        while True:
            try:
                if self._mark is None:
                    self._mark = self._kept = await self._nodes.seen(self._node)
                async with self._client.events() as lines:
                    self._say("")
                    async for line in lines:
                        await self._take(line)
            except (LoaderError, StoreError) as error:
                self._say(error.detail)
            await asyncio.sleep(RETRY_SECONDS)

    async def _sum(self) -> None:
        while True:
            await asyncio.sleep(SUM_SECONDS)
            await self._keep()

    async def _take(self, line: bytes) -> None:
        event = read_event(line)
        if event is None:
            self._leave_out(OTHER_CLASSES, UNREADABLE, 1)
            return
        before = self._mark or Mark()
        if before.covers(event.mark):
            return
        # Numbers go up by one; after a restart of the loader they begin at one.
        missing = event.seq - before.seq - 1 if event.seq > before.seq else event.seq - 1
        if missing:
            self._leave_out(OTHER_CLASSES, LOST, missing)
        self._mark = event.mark
        if event.shadow is not None:
            await self._shadow(event, event.shadow)
            return
        if event.verdict is None:
            self._telemetry.metrics.kernel.event(self._node, "other")
            self._telemetry.log.warning("kernel loader", node=self._node, said=event.event, detail=event.detail[:200])
            return
        if not self._has_room():
            self._leave_out(event.class_, TOO_MANY, 1)
            return
        self._telemetry.metrics.kernel.event(self._node, event.verdict)
        await self._record(denial_record(event, self._node, self._registry(), self._new_id()))

    async def _shadow(self, event: Event, shadow: Shadow) -> None:
        self._telemetry.metrics.kernel.event(self._node, "shadow")
        self._telemetry.log.warning(
            "shadow agent", node=self._node, cgroup=shadow.cgroup[:200], quarantined=shadow.quarantined
        )
        if not self._has_room():
            self._leave_out(QUARANTINE if shadow.quarantined else OTHER_CLASSES, TOO_MANY, 1)
            return
        await self._record(shadow_record(shadow, self._node, event.mark.time, self._new_id()))

    async def _record(self, record: KernelRecord) -> None:
        self._waiting.append(record)
        if len(self._waiting) >= BATCH:
            await self._keep()

    async def _keep(self) -> None:
        """Make durable what waits, then where it stopped; on an error both are tried again, and are bounded."""
        async with self._keeping:
            writing = asyncio.get_running_loop().create_task(self._write())
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                # A stop between the records and the place would tell the same events again.
                with suppress(StoreError):
                    await writing
                raise
            except StoreError as error:
                self._say(error.detail)

    async def _write(self) -> None:
        mark, waiting, left_out = self._mark, self._waiting, self._left_out
        if waiting or left_out:
            at, registry = int(self._clock() * 1000), self._registry()
            sums = [
                left_out_record(self._node, name, registry, count, why, at, self._new_id())
                for (name, why), count in left_out.items()
            ]
            *first, last = [*waiting, *sums]
            self._waiting, self._left_out = [], Counter()
            try:
                await self._audit.append(last, *first)
            except StoreError:
                self._waiting, self._left_out = waiting + self._waiting, left_out + self._left_out
                for record in self._waiting[MOST_WAITING:]:
                    self._leave_out(record.agent_class, UNWRITTEN, 1)
                del self._waiting[MOST_WAITING:]
                raise
        if mark is not None and mark != self._kept:
            await self._nodes.saw(self._node, mark)
            self._kept = mark

    def _leave_out(self, class_name: str, why: str, count: int) -> None:
        known = {name for name, _ in self._left_out}
        if class_name not in known and len(known) >= MOST_CLASSES:
            class_name = OTHER_CLASSES
        self._left_out[class_name, why] += count
        self._telemetry.metrics.kernel.left_out(self._node, count)

    def _has_room(self) -> bool:
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._in_second = now, 0
        self._in_second += 1
        return self._in_second <= self._per_second

    def _say(self, fault: str) -> None:
        if fault and not self._failing:
            self._telemetry.log.error("kernel events", node=self._node, detail=fault)
        elif self._failing and not fault:
            self._telemetry.log.info("kernel events", node=self._node, detail="ok")
        self._failing = bool(fault)
