"""Changes are noticed once they have settled: edits, new files, removed files, swapped links; and on request."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from gateway.config.watcher import MovingError, changes, read_still

TICK = 0.02


def append(folder: Path) -> None:
    with (folder / "a.yaml").open("a") as file:
        file.write("more")


def add(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "new.cedar").write_text("x")


def remove(folder: Path) -> None:
    (folder / "a.yaml").unlink()


def swap(folder: Path) -> None:
    # As Kubernetes does it: everything is behind one link that is replaced.
    (folder / "..v2").mkdir()
    (folder / "..v2" / "data").write_text("2")
    (folder / "..tmp").symlink_to("..v2")
    (folder / "..tmp").rename(folder / "..data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text("1")
    (tmp_path / "..v1").mkdir()
    (tmp_path / "..v1" / "data").write_text("1")
    (tmp_path / "..data").symlink_to("..v1")
    return tmp_path


async def told(stream: AsyncIterator[None], seconds: float = 5) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await anext(stream)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("change", [append, add, remove, swap])
async def test_a_change_is_told_once(folder: Path, change: Callable[[Path], None]) -> None:
    watched = changes(lambda: [folder, folder / "..data" / "data"], asyncio.Event(), TICK)
    async with aclosing(watched) as stream, asyncio.TaskGroup() as tasks:
        assert await told(stream)
        waiting = tasks.create_task(told(stream))
        await asyncio.sleep(3 * TICK)
        assert not waiting.done()
        change(folder)
        assert await waiting
        assert not await told(stream, 5 * TICK)


async def test_asking_is_answered_without_a_change(folder: Path) -> None:
    asked = asyncio.Event()
    async with aclosing(changes(lambda: [folder], asked, 60)) as stream, asyncio.TaskGroup() as tasks:
        assert await told(stream)
        waiting = tasks.create_task(told(stream))
        await asyncio.sleep(TICK)
        asked.set()
        assert await waiting
        assert not asked.is_set()


def test_what_is_written_while_it_is_read_is_read_again(folder: Path) -> None:
    file, reads = folder / "a.yaml", []

    def read() -> str:
        reads.append(file.read_text())
        if len(reads) == 1:
            file.write_text("whole")
        return reads[-1]

    assert read_still(lambda: [folder], read) == "whole"
    assert len(reads) == 2


def test_files_that_never_hold_still_are_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.config.watcher.STILL_SECONDS", 0)
    file = folder / "a.yaml"

    with pytest.raises(MovingError):
        read_still(lambda: [folder], lambda: file.write_text(file.read_text() + "x"))
