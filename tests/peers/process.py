"""Starting a peer as a process of its own, knowing when it is ready, and ending it."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

READY_SECONDS = 20.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.02


class PeerDiedError(Exception):
    """A peer ended or stayed silent before it was ready; the message holds what it said."""


@contextlib.asynccontextmanager
async def started(
    command: Sequence[str | Path], ready: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """Run ``command`` and yield the line of its output that contains ``ready``; ends it afterwards.

    Output goes to a file: a talkative peer never blocks on a full pipe.
    """
    with tempfile.NamedTemporaryFile(prefix="peer-", suffix=".log") as log:
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            env={**os.environ, **(env or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield await ready_line(process, Path(log.name), ready)
        finally:
            await stop(process)


async def ready_line(process: asyncio.subprocess.Process, log: Path, ready: str) -> str:
    """The first whole line that contains ``ready``; ``PeerDiedError`` if it never comes."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_SECONDS):
            while process.returncode is None:
                for line in said(log).splitlines(keepends=True):
                    if ready in line and line.endswith("\n"):
                        return line.rstrip()
                await asyncio.sleep(POLL_SECONDS)
    end = "is still silent" if process.returncode is None else f"ended with {process.returncode}"
    raise PeerDiedError(f"the peer {end}; it never said {ready!r}:\n{said(log)[-3000:]}")


def said(log: Path) -> str:
    """All output so far."""
    return log.read_text(errors="replace")


async def stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, then SIGKILL; returns when the process is gone."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
