"""The loader on this machine: cgroups, pins and agents of a test, cleaned up whatever happens."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kernel.building import built
from tests.peers.parts import refuse

PINS = Path("/sys/fs/bpf")


class LoaderError(Exception):
    """``status`` is its exit code, ``said`` the JSON line."""

    def __init__(self, status: int, said: dict[str, Any]) -> None:
        super().__init__(f"{status}: {said}")
        self.status = status
        self.code = said.get("code")
        self.text = said.get("error")


class Host:
    """One set of pins and the cgroups of one test."""

    def __init__(self, name: str, cgroups: Path) -> None:
        self.loader = built() / "hopgate-bpf-loader"
        self.pins = PINS / name
        self._root = cgroups / name
        self._root.mkdir()

    def run(self, *arguments: str) -> str:
        """What the loader says on stdout."""
        command = [str(self.loader), "--pins", str(self.pins), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            lines = done.stderr.splitlines()
            raise LoaderError(done.returncode, json.loads(lines[-1]) if lines and lines[-1][:1] == "{" else {})
        return done.stdout

    def apply(self, image: bytes, scratch: Path) -> dict[str, Any]:
        """What ``apply`` answers."""
        file = scratch / "image"
        file.write_bytes(image)
        answer: dict[str, Any] = json.loads(self.run("apply", str(file)))
        return answer

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.run("status"))
        return answer

    def denied(self, class_name: str) -> dict[str, int]:
        """Counts by hook."""
        counts: dict[str, int] = self.status()["classes"][class_name]["denied"]
        return counts

    def cgroup(self, name: str) -> Path:
        """A cgroup of this test, made if it isn't there."""
        path = self._root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def agent(self, cgroup: Path, program: str) -> list[Any]:
        """What ``program``, Python that fills the list ``seen``, saw from inside ``cgroup``; a child of its own."""
        source = (
            f"import os\nopen({str(cgroup / 'cgroup.procs')!r}, 'w').write('0')\n"
            "import errno, json, socket, sys\nseen = []\n"
            "def attempt(act, *args):\n"
            "    try:\n        act(*args)\n        seen.append(0)\n"
            "    except OSError as error:\n        seen.append(errno.errorcode[error.errno])\n"
            f"{program}\nprint(json.dumps(seen))\n"
        )
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        seen: list[Any] = json.loads(done.stdout)
        return seen

    def close(self) -> None:
        if self.pins.exists():
            self.run("unload")
        for path in sorted(self._root.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
        self._root.rmdir()


@contextmanager
def host(name: str) -> Iterator[Host]:
    """A loader on this machine; where it can't be had: skipped, in CI failed."""
    if os.geteuid() != 0:
        refuse("programs on cgroups need root; run the tests as root")
    unique = f"hopgate-{name}-{os.getpid()}"
    cgroups = cgroup_root()
    _mount_pins()
    here = Host(unique, cgroups)
    try:
        yield here
    finally:
        here.close()


def cgroup_root() -> Path:
    """Where the cgroup v2 hierarchy is mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, system = line.partition(" - ")
        if system.startswith("cgroup2 ") and fields.split()[3] == "/":
            return Path(fields.split()[4])
    return refuse("no cgroup v2 hierarchy is mounted")


def _mount_pins() -> None:
    types = {line.split()[1]: line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    if types.get(str(PINS)) == "bpf":
        return
    done = subprocess.run(["mount", "-t", "bpf", "bpf", str(PINS)], capture_output=True, text=True)
    if done.returncode:
        refuse(f"{PINS} can't be mounted: {done.stderr.strip()}")
