"""``docs/KERNEL-LOADER.md``: its settings and commands as printed, on a node whose kernel is a stand-in's word."""

import os
import re
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from hopgate_bpf.node.settings import Settings, read_settings
from tests.bpf.documents import Signer, class_rules, document, network
from tests.bpf.nodes import CGROUP2, Place
from tests.bpf.programs import ENVIRONMENT, stand_in
from tests.bpf.test_commands import running
from tests.docs.pages import files, is_as_printed, steps
from tests.peers.parts import require

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "KERNEL-LOADER.md").read_text()


def prepared(folder: Path) -> Path:
    """The node that the page speaks of; its settings are the page's, but every path is in ``folder``."""
    place = Place(folder)
    written = YAML(typ="safe").load(files(PAGE)["config.yaml"])
    assert read_settings_of(folder, files(PAGE)["config.yaml"]).node == "worker-1"
    place.more = written | {
        "keys": str(folder / "gateway.jwks"),
        "socket": {"path": str(folder / "api.sock"), "uids": [os.getuid()]},
        "loader": {"program": str(stand_in(folder)), "pins": str(folder / "pins")},
        "cgroups": {"root": str(CGROUP2), "parent": str(CGROUP2 / f"hopgate-test-{folder.name}")},
    }
    with (folder / "config.yaml").open("w") as file:
        YAML(typ="safe").dump(place.plain, file)
    rules = class_rules(network=[network("permit", "10.0.0.0/8", 443)])
    for name, signer, generation in (("rules", place.signer, 7), ("older", place.signer, 6), ("stolen", Signer(), 7)):
        (folder / f"{name}.jws").write_bytes(signer.signed(document(rules, generation=generation)))
    folder.chmod(0o755)
    launcher = folder / "hopgate-bpf"
    launcher.write_text(f"#!{sys.executable}\nfrom hopgate_bpf.cli import main\nmain()\n")
    launcher.chmod(0o755)
    return folder / "config.yaml"


def read_settings_of(folder: Path, text: str) -> Settings:
    (folder / "printed.yaml").write_text(text)
    return read_settings(folder / "printed.yaml")


def test_every_answer_is_as_printed(tmp_path: Path) -> None:
    require("curl")
    config = prepared(tmp_path)
    environment = ENVIRONMENT | {"PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}", "HOPGATE_BPF_CONFIG": str(config)}
    told = list(steps(PAGE))
    assert len(told) == 8
    with running(config, tmp_path):
        for command, expected in told:
            placed = command.replace("/run/hopgate-bpf", str(tmp_path))
            done = subprocess.run(
                ["sh", "-c", placed], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
            )
            answer = done.stdout + done.stderr
            assert is_as_printed(expected, answer), f"$ {command}\n{answer}"
    (CGROUP2 / f"hopgate-test-{tmp_path.name}").rmdir()


def test_settings_on_the_page_are_those_that_there_are() -> None:
    table = PAGE.partition("| key | default")[2].partition("\n\n")[0]
    named = {each.partition(".")[0] for each in re.findall(r"^\| `([\w.<>]+)`", table, re.MULTILINE)}
    assert named == set(Settings.__struct_fields__)
    for section in ("loader", "socket", "names", "limits", "cgroups", "shadow"):
        for field in getattr(Settings(node="a", keys="/a"), section).__struct_fields__:
            assert re.search(rf"`(?:{section})?\.{field}`", table), f"{section}.{field}"
