"""A node for tests: settings, a key that it pins, a kernel and a zone, all in one folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from hopgate_bpf.node.node import Node
from hopgate_bpf.node.settings import Settings
from tests.bpf.documents import NODE, Signer
from tests.bpf.kernel import Kernel, Zone

CGROUP2 = next(
    (Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"),
    Path("/sys/fs/cgroup"),
)


@dataclass
class Place:
    """Where a node is, across its restarts."""

    folder: Path
    signer: Signer = field(default_factory=Signer)
    kernel: Kernel = field(default_factory=Kernel)
    zone: Zone = field(default_factory=lambda: Zone({}))
    more: dict[str, Any] = field(default_factory=dict)
    now: float = 1000.0

    def __post_init__(self) -> None:
        (self.folder / "state").mkdir(exist_ok=True)
        self.pin(self.signer)

    def pin(self, signer: Signer) -> None:
        (self.folder / "gateway.jwks").write_bytes(signer.jwks())

    @property
    def plain(self) -> dict[str, Any]:
        return {
            "node": NODE,
            "keys": str(self.folder / "gateway.jwks"),
            "state": str(self.folder / "state"),
            "socket": {"path": str(self.folder / "api.sock")},
            "cgroups": {"root": str(CGROUP2), "parent": str(CGROUP2 / f"hopgate-test-{self.folder.name}")},
        } | self.more

    @property
    def settings(self) -> Settings:
        return msgspec.convert(self.plain, Settings)

    async def started(self) -> Node:
        node = Node(self.settings, self.kernel, self.zone, lambda: self.now)
        await node.start()
        return node
