"""A gateway in miniature: appends, and says on standard output which records are durable. Run as a script."""

import asyncio
import resource
import signal
import sys
from pathlib import Path

from gateway.core.errors import StoreError
from gateway.store.audit import SqlAuditLog
from gateway.store.audit_file import AuditFile, CheckpointRule
from gateway.store.checkpoint_key import load_or_create
from tests.store.samples import decision


async def append_for_ever(log: SqlAuditLog, lane: int) -> None:
    number = lane
    while True:
        try:
            await log.append(decision(number))
        except StoreError as error:
            print("refused", number, error.reason, error.detail, flush=True)
            return
        print("durable", number, flush=True)
        number += 100


async def main(path: Path, writer: str) -> None:
    signer = load_or_create(path.with_name("checkpoint.pem"))
    log = SqlAuditLog(AuditFile(path, writer, signer, rule=CheckpointRule(records=50)))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(log.run())
        async with asyncio.TaskGroup() as lanes:
            for lane in range(20):
                lanes.create_task(append_for_ever(log, lane))
        task.cancel()


if __name__ == "__main__":
    if len(sys.argv) > 3:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
