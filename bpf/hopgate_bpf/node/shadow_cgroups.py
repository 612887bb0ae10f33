"""Which agents' cgroups hold processes of no class, as the file system of cgroups shows it.

Decides nothing about what is done with them. Reads only; what is gone meanwhile counts as empty.
"""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from glob import iglob
from pathlib import Path

from msgspec import Struct

from hopgate_bpf.node.cgroups import inode, is_cgroup, is_populated

QUARANTINE = "quarantine"
MOST_PROGRAMS = 8
MOST_CHARS = 200
UNKNOWN_PROGRAM = "?"


class Held(Struct, frozen=True):
    """An agent's cgroup with processes that no class, or only ``quarantine``, is responsible for."""

    id: int
    """Of the cgroup: its inode number."""
    cgroup: str
    processes: int
    programs: tuple[str, ...]
    quarantined: bool
    """All of them are in quarantine."""


class Look(Struct, frozen=True):
    """What one look found; ``cut``: there were more cgroups than it may read."""

    held: tuple[Held, ...]
    cut: bool


def look_at(patterns: Sequence[str], root: Path, classes: Mapping[int, str], most: int) -> Look:
    """Look at the cgroups that match, of at most ``most``; ``classes``: cgroup → its class in the kernel.

    As in the kernel, the deepest cgroup that has a class decides.
    """
    held: dict[int, Held] = {}
    budget = iter(range(most))
    for pattern in patterns:
        for path in iglob(pattern, include_hidden=True):
            if next(budget, None) is None:
                return Look(tuple(held.values()), cut=True)
            top = Path(path)
            number = inode(top)
            if number is None or number in held or not is_cgroup(top) or not is_populated(top):
                continue
            found = _held(top, number, _above(top, root, classes), classes, budget)
            if found is None:
                return Look(tuple(held.values()), cut=True)
            if found.processes:
                held[number] = found
    return Look(tuple(held.values()), cut=False)


def _held(top: Path, number: int, above: str, classes: Mapping[int, str], budget: Iterator[int]) -> Held | None:
    """Those of ``top`` and below; None: the budget is spent."""
    processes, loose = 0, 0
    programs: set[str] = set()
    waiting = [(top, above)]
    while waiting:
        path, inherited = waiting.pop()
        name = classes.get(inode(path) or 0, inherited)
        if name in ("", QUARANTINE):
            found = _processes(path)
            processes += len(found)
            loose += 0 if name else len(found)
            for process in found[:MOST_PROGRAMS]:
                programs.add(_program(process))
        for below in _below(path):
            if next(budget, None) is None:
                return None
            waiting.append((below, name))
    cgroup = os.fsencode(top).decode("utf-8", "replace")
    return Held(number, cgroup, processes, tuple(sorted(programs)[:MOST_PROGRAMS]), not loose)


def _above(top: Path, root: Path, classes: Mapping[int, str]) -> str:
    """The class that ``top`` has from those above it; empty: none."""
    for each in top.parents:
        if each == root:
            break
        name = classes.get(inode(each) or 0)
        if name is not None:
            return name
    return ""


def _below(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as found:
            return [path / each.name for each in found if each.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _processes(cgroup: Path) -> list[str]:
    try:
        return (cgroup / "cgroup.procs").read_text().split()
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            return []
    # A threaded cgroup lists its threads only.
    try:
        return (cgroup / "cgroup.threads").read_text().split()
    except OSError:
        return []


def _program(process: str) -> str:
    try:
        link = os.readlink(f"/proc/{process}/exe")
    except OSError:
        return UNKNOWN_PROGRAM
    return os.fsencode(link).decode("utf-8", "replace")[:MOST_CHARS]
