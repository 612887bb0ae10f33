"""What a test has in place of the kernel: it takes images as the C loader does, strictly, and remembers them.

For machines and tests without BPF; the real loader is asked in ``test_real_loader``.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from hopgate_bpf.node.cgroups import inode
from hopgate_bpf.node.loader import NETWORK_HOOKS, Applied, LoaderStatus
from hopgate_bpf.rules.names import Answer, LookupFailed
from hopgate_bpf.rules.refusal import Reason, RefusedError
from tests.bpf.image_reader import ReadImage, read_image


class Kernel:
    """A Loader. ``refusal``: what it refuses with from now on; ``not_enforced``: what its kernel hasn't."""

    def __init__(self) -> None:
        self.loaded = False
        self.images: list[ReadImage] = []
        self.joined: dict[Path, str] = {}
        self.inodes: dict[int, str] = {}
        self.calls: list[str] = []
        self.refusal = ""
        self.refuses = frozenset({"apply", "join", "leave", "load", "status"})
        self.not_enforced: tuple[str, ...] = ()
        self.detached: frozenset[str] = frozenset()
        self.said: asyncio.Queue[bytes] = asyncio.Queue()

    @property
    def in_force(self) -> ReadImage | None:
        return self.images[-1] if self.images else None

    @property
    def generation(self) -> int:
        return self.in_force.generation if self.in_force else 0

    async def load(self) -> None:
        self._called("load")
        self.loaded = True

    async def apply(self, image: bytes) -> Applied:
        self._called("apply")
        read = read_image(image)
        if read.generation < self.generation:
            raise RefusedError(Reason.LOADER_REFUSED, "apply: an older generation")
        self.images.append(read)
        return Applied(read.generation, 1)

    async def join(self, class_name: str, cgroup: Path) -> None:
        self._called("join")
        self.joined[cgroup] = class_name
        self.inodes[inode(cgroup) or 0] = class_name

    async def leave(self, cgroup: Path) -> None:
        self._called("leave")
        self.joined.pop(cgroup, None)
        self.inodes.pop(inode(cgroup) or 0, None)

    async def status(self) -> LoaderStatus:
        self._called("status")
        whole = {"loaded": self.loaded, "generation": self.generation}
        hooks = dict.fromkeys(NETWORK_HOOKS - self.detached, True)
        classes: dict[str, dict[str, list[int]]] = {}
        for cgroup, name in self.inodes.items():
            classes.setdefault(name, {"cgroups": []})["cgroups"].append(cgroup)
        return LoaderStatus(self.loaded, self.generation, hooks, False, self.not_enforced, classes, whole)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[bytes]]:
        async def lines() -> AsyncIterator[bytes]:
            while True:
                yield await self.said.get()

        yield lines()

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.refusal and name in self.refuses:
            raise RefusedError(Reason.LOADER_REFUSED, f"{name}: {self.refusal}")


class Zone:
    """A Resolver that answers from a table; what isn't in it fails."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []

    async def lookup(self, host: str) -> Answer | LookupFailed:
        self.asked.append(host)
        return self.answers.get(host, LookupFailed("no answer"))

    async def close(self) -> None:
        return None
