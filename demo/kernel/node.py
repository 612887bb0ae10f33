"""The node that the agent runs on: its loader, what the gateway is told about it, and its policy file.

The loader program is the real one behind a few lines of shell, which keep the image that the kernel is given, and put
what the virtual machine's kernel denied beside what this one denies.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from ruamel.yaml import YAML

from demo.site import REPOSITORY, Site

NODE = "worker-1"
CLASS = "data-analyst"
SECONDS = 120
SOURCE = Path(__file__).with_name("analysts.cedar")
PROGRAM = """#!/bin/sh
case "$5" in
  apply) cp "$6" "{image}.part" && mv "{image}.part" "{image}" || exit 1 ;;
  events) tail --pid=$$ -s 0.2 -n +1 -f "{events}" & ;;
esac
exec "{loader}" "$@"
"""


@dataclass(frozen=True)
class Node:
    """Files of one run, below the site's root; pins and cgroups with names of their own."""

    site: Site
    loader: Path
    cgroups: Path
    """Where cgroups of version 2 are."""
    name: str = field(default_factory=lambda: f"hopgate-demo-{secrets.token_hex(4)}")

    @property
    def folder(self) -> Path:
        """All that is the node's."""
        return self.site.root / "node"

    @property
    def config(self) -> Path:
        """The companion's settings."""
        return self.folder / "config.yaml"

    @property
    def image(self) -> Path:
        """The rules that the kernel was given last."""
        return self.folder / "image"

    @property
    def guest_events(self) -> Path:
        """What the virtual machine's kernel denied, as JSON lines."""
        return self.folder / "guest-events"

    @property
    def secret(self) -> Path:
        """The file that the policy forbids."""
        return self.site.root / "secrets" / "payroll-key"

    @property
    def policy(self) -> Path:
        """The one policy file of both enforcement points: the gateway's own tier, of which the kernel gets its part."""
        return self.site.root / "policies" / "platform" / "analysts.cedar"

    @property
    def socket(self) -> Path:
        """The companion's API."""
        return self.folder / "api.sock"

    @property
    def pins(self) -> Path:
        """Where the programs are pinned."""
        return Path("/sys/fs/bpf", self.name)

    def settle(self) -> None:
        """Write everything."""
        for folder in (self.folder, self.folder / "state", self.secret.parent):
            folder.mkdir(mode=0o700)
        self.secret.write_text("the secret\n", encoding="ascii")
        self.guest_events.touch()
        values = {"data": self.site.ports["data"], "secrets": self.secret.parent}
        self.policy.write_text(Template(SOURCE.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
        program = self.folder / "loader"
        program.write_text(PROGRAM.format(image=self.image, events=self.guest_events, loader=self.loader))
        program.chmod(0o700)
        self.config.write_text(json.dumps(self._settings(program)))
        _changed(self.site.config, self._tell_gateway)
        _changed(self.site.root / "registry.yaml", _classify)

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Leaves neither programs nor cgroups behind."""
        try:
            yield
        finally:
            subprocess.run([self.loader, "--pins", self.pins, "unload"], check=False, capture_output=True)
            parent = self.cgroups / self.name
            if parent.exists():
                parent.rmdir()

    def command(self, *words: str | Path) -> list[str]:
        """``hopgate-bpf`` with this node's settings."""
        first, *rest = (str(word) for word in words)
        program = [sys.executable, "-c", "from hopgate_bpf.cli import main; main()"]
        return ["env", f"PYTHONPATH={paths()}", *program, first, "--config", str(self.config), *rest]

    def _settings(self, program: Path) -> Mapping[str, Any]:
        return {
            "node": NODE,
            "keys": str(self.folder / "gateway.jwks"),
            "state": str(self.folder / "state"),
            "loader": {"program": str(program), "pins": str(self.pins), "seconds": SECONDS},
            "socket": {"path": str(self.socket), "uids": [os.getuid()]},
            "cgroups": {"root": str(self.cgroups), "parent": str(self.cgroups / self.name)},
        }

    def _tell_gateway(self, settings: dict[str, Any]) -> None:
        loader = {"node": NODE, "socket": str(self.socket)}
        settings["kernel"] = {"loaders": [loader], "retry_seconds": 0.2, "look_seconds": 0.5}


def paths() -> str:
    """``PYTHONPATH`` of both distributions."""
    return f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'bpf'}"


def _classify(registry: dict[str, Any]) -> None:
    registry["agents"]["guest"]["classes"] = [CLASS]


def _changed(file: Path, change: Any) -> None:
    yaml = YAML()
    whole = yaml.load(file.read_text(encoding="utf-8"))
    change(whole)
    with file.open("w", encoding="utf-8") as written:
        yaml.dump(whole, written)
