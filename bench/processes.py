"""Processes of a run: pinned to a core, logging to a file, ended at the end; and the CPU time that they used."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

READY_SECONDS = 20.0
STOP_SECONDS = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


class LegError(Exception):
    """A leg can't run or did not do its work; the message says why."""


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cores() -> tuple[int, int]:
    """The core of the proxy, and the core of load and upstream; the same where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def spawn(core: int, command: Sequence[str | Path], log: Path) -> subprocess.Popen[str]:
    """Start ``command`` on one core; its error output goes to ``log``, its other output and its input are pipes."""
    with log.open("ab") as errors:
        return subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


@contextlib.contextmanager
def running(core: int, command: Sequence[str | Path], log: Path) -> Iterator[subprocess.Popen[str]]:
    """``spawn``, and end the process and all its children afterwards."""
    process = spawn(core, command, log)
    try:
        yield process
    finally:
        signal_all(process, signal.SIGTERM)
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            signal_all(process, signal.SIGKILL)
            process.communicate()


def signal_all(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to the session that ``spawn`` gave the process."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def wait_for_port(process: subprocess.Popen[str], port: int, log: Path) -> None:
    """Until ``port`` accepts connections; ``LegError`` with the end of the log if it doesn't."""
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    tail = " ".join(log.read_text(errors="replace").split())[-400:]
    raise LegError(f"it doesn't listen: {tail or 'it said nothing'}")


def cpu_seconds(root: int) -> float:
    """User and system time so far of process ``root`` and all that descend from it (proc(5), stat)."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = entry.joinpath("stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
                used[int(entry.name)] = int(fields[11]) + int(fields[12])
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(used.get(pid, 0) for pid in tree) / TICKS


def busy_share(seconds: float = 1.0) -> float:
    """Part of all cores' time that others use right now, 0 to 1."""

    def reading() -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    total, idle = reading()
    time.sleep(seconds)
    later_total, later_idle = reading()
    return 1 - (later_idle - idle) / max(later_total - total, 1)
