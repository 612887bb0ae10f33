"""What this machine must have for the demo of the kernel; names what is missing, and changes nothing."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

LSM = Path("/sys/kernel/security/lsm")
BPF = Path("/sys/fs/bpf")


def cgroup_root() -> Path | None:
    """Where cgroups of version 2 are mounted."""
    lines = (line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines())
    return next((Path(fields[1]) for fields in lines if fields[2] == "cgroup2"), None)


def has_lsm() -> bool:
    """Whether this kernel itself asks BPF programs about files."""
    return LSM.exists() and "bpf" in LSM.read_text(encoding="ascii").strip().split(",")


def missing() -> tuple[str, ...]:
    """A sentence for each thing that isn't there; with what to do about it."""
    return tuple(_missing())


def _missing() -> Iterator[str]:
    if os.geteuid() != 0:
        yield "root: loading BPF programs takes it; type: sudo make demo-kernel"
    if not os.path.ismount(BPF):
        yield f"a BPF file system; type: sudo mount -t bpf bpf {BPF}"
    if cgroup_root() is None:
        yield "cgroups of version 2; type: sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup (or boot with them)"
    packages = {"clang": "clang llvm", "gcc": "gcc libc6-dev", "make": "make"}
    if not has_lsm():
        packages |= {"qemu-system-x86_64": "qemu-system-x86", "apt-get": "apt (Debian's kernels are fetched by it)"}
    for command, package in packages.items():
        if shutil.which(command) is None:
            yield f"{command}; type: sudo apt install {package}"
    if shutil.which("bpftool") is None and shutil.which("bpftool", path="/usr/sbin") is None:
        yield "bpftool; type: sudo apt install bpftool"
    if not Path("/usr/include/bpf/libbpf.h").exists():
        yield "libbpf's headers; type: sudo apt install libbpf-dev libelf-dev zlib1g-dev"
