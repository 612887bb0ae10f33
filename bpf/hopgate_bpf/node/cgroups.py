"""Cgroups (version 2) as folders: which paths are one, and making one for an agent.

Decides nothing about classes.
"""

import ctypes
import os
import secrets
from contextlib import suppress
from pathlib import Path

from hopgate_bpf.rules.refusal import Reason, RefusedError

_CGROUP2_MAGIC = 0x63677270
"""``CGROUP2_SUPER_MAGIC`` (statfs(2))."""
_STATFS_BYTES = 256


def is_cgroup(path: Path) -> bool:
    """Whether ``path`` is a folder of a mounted cgroup2 file system."""
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), buffer) != 0:
        return False
    return ctypes.c_long.from_buffer(buffer).value == _CGROUP2_MAGIC and path.is_dir()


def inode(path: str | Path) -> int | None:
    """The number by which the kernel's programs know a cgroup; None: there is none at ``path``."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def checked(path: str, root: Path) -> Path:
    """``path`` as a cgroup below ``root``, its links followed.

    Raises:
        RefusedError: CGROUP_UNKNOWN.
    """
    try:
        found = Path(path).resolve(strict=True)
        inside = root.resolve(strict=True) in found.parents
    except (OSError, RuntimeError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "no path"
        raise RefusedError(Reason.CGROUP_UNKNOWN, f"{path[:300]}: {cause}") from None
    if not inside:
        raise RefusedError(Reason.CGROUP_UNKNOWN, f"{path[:300]} is not below {root}")
    if not is_cgroup(found):
        raise RefusedError(Reason.CGROUP_UNKNOWN, f"{path[:300]} is not of a cgroup2 file system")
    return found


def own(root: Path) -> Path:
    """The cgroup of this process.

    Raises:
        RefusedError: CGROUP_UNKNOWN, where there is no version 2 hierarchy.
    """
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            return root / path.lstrip("/")
    raise RefusedError(Reason.CGROUP_UNKNOWN, "this process is in no cgroup of version 2")


def made(parent: Path, class_name: str) -> Path:
    """A new, empty cgroup for one agent; ``parent`` is made too where it is absent.

    Raises:
        RefusedError: CGROUP_UNKNOWN.
    """
    made_here = parent / f"{class_name}-{secrets.token_hex(6)}"
    try:
        parent.mkdir(mode=0o755, exist_ok=True)
        made_here.mkdir(mode=0o755)
    except OSError as error:
        raise RefusedError(Reason.CGROUP_UNKNOWN, f"{error.filename}: can't be made: {error.strerror}") from None
    if not is_cgroup(made_here):
        with suppress(OSError):
            made_here.rmdir()
        raise RefusedError(Reason.CGROUP_UNKNOWN, f"{parent} is not of a cgroup2 file system")
    return made_here


def move(process: int, cgroup: Path) -> None:
    """Put a process into ``cgroup``.

    Raises:
        OSError: the kernel refused.
    """
    with (cgroup / "cgroup.procs").open("w") as procs:
        procs.write(f"{process}\n")


def is_populated(cgroup: Path) -> bool:
    """Whether a process is in ``cgroup`` or below it; also where that can't be known."""
    try:
        return "populated 0" not in (cgroup / "cgroup.events").read_text()
    except OSError:
        return True


def removed(cgroup: Path) -> bool:
    """Remove ``cgroup`` if nothing is left in it; whether it is gone."""
    try:
        cgroup.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
