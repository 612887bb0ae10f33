"""Debian's own kernels in QEMU, by software emulation: real file systems, real hooks, no privileges on the host.

A kernel and busybox are fetched as Debian packages once for each version; the guest's file system is written here.
"""

import fcntl
import lzma
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from tests.kernel.building import cache
from tests.peers.parts import refuse, require

KERNELS = {"6.1": "linux-image-cloud-amd64", "6.12": "linux-image-6.12-cloud-amd64"}
"""Series → the metapackage that names Debian's newest kernel of it."""
BUSYBOX = "busybox-static"
BOOT_SECONDS = 600
STARTED = "guest: init"
DONE = "guest: done"
EMULATOR = (
    *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max,-cx16,-la57", "-m", "1024", "-smp", "1"),
    *("-display", "none", "-serial", "stdio", "-monitor", "none", "-nodefaults", "-no-reboot"),
)
"""Without cx16: with it the emulator now and then loses a kernel of 6.12 while it boots."""


class Kernel(Struct, frozen=True):
    """``image`` to boot, and the overlay module that goes with it."""

    series: str
    version: str
    image: Path
    overlay: bytes


def kernel(series: str) -> Kernel:
    """Debian's newest of ``series``, from the cache or by apt-get; where that can't be had: skipped, in CI failed."""
    require("qemu-system-x86_64")
    require("apt-get")
    package = _depends(KERNELS[series])
    root = _unpacked(package)
    version = package.removeprefix("linux-image-")
    (overlay,) = root.rglob("overlay.ko*")
    content = overlay.read_bytes()
    if overlay.suffix == ".xz":
        content = lzma.decompress(content)
    return Kernel(series, version, root / "boot" / f"vmlinuz-{version}", content)


def busybox() -> bytes:
    """A static shell."""
    return (_unpacked(BUSYBOX) / "bin" / "busybox").read_bytes()


def _depends(metapackage: str) -> str:
    said = subprocess.run(["apt-cache", "depends", metapackage], capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"Depends: (linux-image-\S+)", said)
    if found is None:
        refuse(f"apt knows no {metapackage}; type: sudo apt update")
    return found.group(1)


def _unpacked(package: str) -> Path:
    kernels = cache() / "kernels"
    kernels.mkdir(exist_ok=True)
    folder = kernels / package
    with open(kernels / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            making = kernels / f"{package}.part"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            fetched = subprocess.run(
                ["apt-get", "download", "-qq", package], cwd=making, capture_output=True, text=True, timeout=300
            )
            packages = list(making.glob("*.deb"))
            if fetched.returncode or len(packages) != 1:
                refuse(f"apt-get can't download {package}: {fetched.stderr.strip()[-200:]}")
            subprocess.run(["dpkg", "-x", packages[0], making / "root"], check=True, timeout=300)
            packages[0].unlink()
            (making / "root").rename(folder)
            shutil.rmtree(making)
    return folder


def boot(on: Kernel, files: Mapping[str, tuple[int, bytes]], scratch: Path) -> str:
    """What the guest wrote to its console. Files: path → mode and content.

    Started once more if it didn't get as far as its init: the emulator has been seen to lose a kernel that early.
    """
    archive = scratch / "initramfs"
    archive.write_bytes(b"".join(cpio(files)))
    log = scratch / "console"
    for _ in range(2):
        # A log of before would be read as what happened now.
        log.unlink(missing_ok=True)
        command = [*EMULATOR, "-kernel", str(on.image), "-initrd", str(archive)]
        with open(log, "wb") as written:
            subprocess.run(
                [*command, "-append", "console=ttyS0 panic=-1 quiet"],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                timeout=BOOT_SECONDS,
            )
        said = log.read_text(errors="replace").replace("\r\n", "\n")
        if STARTED in said:
            return said
    raise AssertionError(f"kernel {on.version} didn't reach its init twice:\n{said[-2000:]}")


def cpio(files: Mapping[str, tuple[int, bytes]]) -> Iterator[bytes]:
    """An archive in the newc format (linux/Documentation/driver-api/early-userspace/buffer-format.rst)."""
    folders = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."})
    entries = [(folder, 0o040755, b"") for folder in [*folders, "proc", "sys", "dev", "tmp", "work"]]
    entries += [(name, mode, content) for name, (mode, content) in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    for number, (name, mode, content) in enumerate(entries, 1):
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        yield _padded(b"070701" + b"".join(b"%08x" % field for field in fields) + encoded)
        yield _padded(content)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)


CONSOLE = {"dev/console": (0o020600, b"")}
