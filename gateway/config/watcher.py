"""Notices that files changed, by looking at them: works on every file system, and through replaced symbolic links.

Decides only that something changed, not what it means. Kubernetes swaps a whole folder by one link; editors
write a file twice: a change counts once nothing moves any more.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

POLL_SECONDS = 0.5
STILL_SECONDS = 0.1
ATTEMPTS = 20

T = TypeVar("T")

Fingerprint = Mapping[Path, tuple[int, int, int, int] | None]


def fingerprint(paths: Iterable[Path]) -> Fingerprint:
    """Each file's times, size and inode, links followed; None for what isn't there. Folders count with all in them."""
    found: dict[Path, tuple[int, int, int, int] | None] = {}
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else []
        for file in (path, *inside):
            try:
                stat = file.stat()
            except OSError:
                found[file] = None
            else:
                found[file] = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
    return found


class MovingError(Exception):
    """The files would not hold still; what was read of them may be half of a change."""


def read_still(paths: Callable[[], Iterable[Path]], read: Callable[[], T]) -> T:
    """What ``read`` makes of files that didn't change before, while and after it read them. Blocks: for a thread.

    Raises:
        MovingError: they changed each time.
    """
    for _ in range(ATTEMPTS):
        before = fingerprint(paths())
        time.sleep(STILL_SECONDS)
        found = read()
        if fingerprint(paths()) == before:
            return found
    raise MovingError(f"the files changed while they were read, {ATTEMPTS} times in a row")


async def changes(
    paths: Callable[[], Iterable[Path]], asked: asyncio.Event, seconds: float = POLL_SECONDS
) -> AsyncIterator[None]:
    """Yields at once, after each settled change of the files, and whenever ``asked`` is set, until cancelled.

    At once, since the files may have changed between their first reading and the first look at them here.
    ``paths`` is asked each time: what is watched may itself change.
    """
    taken = await asyncio.to_thread(fingerprint, paths())
    yield
    while True:
        told = await _told(asked, seconds)
        seen = await asyncio.to_thread(fingerprint, paths())
        if seen == taken and not told:
            continue
        while not told:
            await asyncio.sleep(seconds / 2)
            again = await asyncio.to_thread(fingerprint, paths())
            if again == seen:
                break
            seen = again
        taken = seen
        yield


async def _told(asked: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await asked.wait()
    except TimeoutError:
        return False
    asked.clear()
    return True
