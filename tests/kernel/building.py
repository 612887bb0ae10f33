"""The loader and the guest's agent, built once for each state of their sources."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.peers.parts import refuse, require

ROOT = Path(__file__).resolve().parents[2]
BPF = ROOT / "bpf"
GUEST = Path(__file__).resolve().parent / "guest"
COMMANDS = ("clang", "gcc", "make")
HEADER = Path("/usr/include/bpf/libbpf.h")


def cache() -> Path:
    """Where what takes long to make is kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    made = Path(root, "hopgate")
    made.mkdir(parents=True, exist_ok=True)
    return made


def built() -> Path:
    """The folder with ``hopgate-bpf-loader`` and the guest's ``init``; a missing part skips or, in CI, fails."""
    for command in COMMANDS:
        require(command)
    if bpftool() is None:
        refuse("bpftool is missing; type: sudo apt install bpftool")
    if not HEADER.exists():
        refuse("libbpf's headers are missing; type: sudo apt install libbpf-dev libelf-dev zlib1g-dev")
    folder = cache() / f"bpf-{_digest()}"
    with open(cache() / "bpf.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _build(folder)
            (folder / "done").touch()
    return folder


def bpftool() -> str | None:
    """Debian has it in /usr/sbin, which isn't in everybody's path."""
    return shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin")


def _sources() -> list[Path]:
    return sorted([*(BPF / "src").iterdir(), BPF / "Makefile", *GUEST.glob("*.[ch]")])


def _digest() -> str:
    whole = hashlib.sha256()
    for file in _sources():
        whole.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()[:16]


def _build(folder: Path) -> None:
    folder.mkdir()
    _run("make", "-s", "-C", str(BPF), f"OUT={folder}", f"BPFTOOL={bpftool()}")
    sources = [str(file) for file in sorted(GUEST.glob("*.c"))]
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu17", "-D_GNU_SOURCE", f"-I{BPF / 'src'}", "-static"]
    _run("gcc", *flags, "-pthread", "-o", str(folder / "init"), *sources, "-lbpf", "-lelf", "-lz")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise AssertionError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
