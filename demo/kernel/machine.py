"""The node's file half where this machine's kernel has none: Debian's kernel in QEMU, under the very same rules.

The guest loads the programs, applies the image that the host's kernel was given, and reads the secret twice: outside of
any class, and as an agent in the class. Built on the harness of ``tests/kernel``.
"""

import errno
import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kernel.building import built
from tests.kernel.machine import STARTED, boot, busybox, kernel

SERIES = "6.1"
INIT = """#!/bin/busybox sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
echo "{started}"
/hopgate-bpf-loader load && /hopgate-bpf-loader apply /image
mkdir /sys/fs/cgroup/agents
/hopgate-bpf-loader join {name} /sys/fs/cgroup/agents
echo "outside: $(cat {secret} 2>&1)"
echo "agent: $(sh -c 'echo 0 > /sys/fs/cgroup/agents/cgroup.procs; exec cat "$0"' {secret} 2>&1)"
/hopgate-bpf-loader --once events
sync
poweroff -f
"""


class MissingError(Exception):
    """A part that the demo needs isn't here; the message says which, and what to type."""


@dataclass(frozen=True)
class GuestAnswer:
    """What was seen in the guest: errnos of both readings (-1: neither read nor refused), and its denials."""

    version: str
    outside: int
    agent: int
    events: tuple[str, ...]
    said: str


def loader() -> Path:
    """``hopgate-bpf-loader``, built if it isn't yet.

    Raises:
        MissingError: what it is built with isn't here.
    """
    try:
        return built() / "hopgate-bpf-loader"
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        raise MissingError(str(missing)) from None


def read_in_guest(name: str, image: Path, secret: Path, scratch: Path) -> GuestAnswer:
    """Boot, and read ``secret`` as an agent of class ``name`` under ``image``.

    Raises:
        MissingError: QEMU or the guest's kernel isn't here.
    """
    try:
        on, shell = kernel(SERIES), busybox()
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        raise MissingError(str(missing)) from None
    init = INIT.format(started=STARTED, name=name, secret=shlex.quote(str(secret))).encode()
    files = {
        "init": (0o100755, init),
        "hopgate-bpf-loader": (0o100755, loader().read_bytes()),
        "bin/busybox": (0o100755, shell),
        "image": (0o100644, image.read_bytes()),
        str(secret).lstrip("/"): (0o100600, secret.read_bytes()),
    }
    files |= {f"bin/{tool}": (0o120777, b"busybox") for tool in ("sh", "cat", "mount", "mkdir", "sync", "poweroff")}
    said = boot(on, files, scratch)
    text = secret.read_text(encoding="ascii").strip()
    outside, agent = (_answer(said, who, text) for who in ("outside", "agent"))
    return GuestAnswer(on.version, outside, agent, tuple(_denials(said)), said)


def _answer(said: str, who: str, text: str) -> int:
    found = re.search(rf"^{who}: (.*)$", said, re.MULTILINE)
    line = found.group(1) if found else ""
    if line == text:
        return 0
    return next((code for code in (errno.EPERM, errno.ENOENT) if line.endswith(os.strerror(code))), -1)


def _denials(said: str) -> Iterator[str]:
    for line in said.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("verdict") == "denied":
            yield line
