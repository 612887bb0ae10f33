"""The demo's child processes: started with a log each, watched until they are ready, always stopped."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.05


class ChildError(Exception):
    """A child process ended, or wasn't ready in time."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name} {what}")
        self.name = name


class Cast:
    """Children by name. Leaving the ``with`` block stops them, the last started first."""

    def __init__(self, logs: Path, directory: Path) -> None:
        self._logs = logs
        self._directory = directory
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Cast":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start ``command`` in the repository's root, in a session of its own: Ctrl-C reaches only the driver."""
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(self._directory)}
        with self.log(name).open("wb") as log:
            self._children[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=environment,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        """The child's log file."""
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> list[str]:
        """The last lines of the child's log."""
        path = self.log(name)
        if not path.exists():
            return []
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]

    def is_troubled(self, name: str) -> bool:
        """Whether the child logged an error of its own."""
        return any("ERROR" in line or "Traceback" in line for line in self.tail(name, 500))

    def until_open(self, name: str, port: int) -> None:
        """Wait until the child accepts connections on a loopback port.

        Raises:
            ChildError: it ended or took longer than READY_SECONDS.
        """
        self._wait(name, lambda: _is_open(port))

    def until_ready(self, name: str, url: str) -> None:
        """Wait until the child answers 200 at ``url``.

        Raises:
            ChildError: it ended or took longer than READY_SECONDS.
        """
        self._wait(name, lambda: _is_ok(url))

    def until_one_ends(self) -> None:
        """Watch all children.

        Raises:
            ChildError: one of them ended.
        """
        while True:
            for name in self._children:
                self._require_running(name)
            time.sleep(1)

    def stop(self) -> None:
        """Ask every child to stop; kill whoever hasn't after STOP_SECONDS."""
        for child in reversed(self._children.values()):
            child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children.values():
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()

    def _wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready():
            self._require_running(name)
            if time.monotonic() > deadline:
                raise ChildError(name, f"was not ready within {READY_SECONDS:.0f} seconds")
            time.sleep(LOOK_SECONDS)

    def _require_running(self, name: str) -> None:
        status = self._children[name].poll()
        if status is not None:
            raise ChildError(name, f"ended with status {status}")


def _is_open(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(1)
        return connection.connect_ex(("127.0.0.1", port)) == 0


def _is_ok(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
