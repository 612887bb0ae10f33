"""The unit is one that systemd takes, its capabilities are enough to load, and the container's sources are there."""

import re
import secrets
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from tests.kernel.building import built
from tests.peers.parts import require

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "hopgate-bpf.service"
CONTAINER = ROOT / "deploy" / "container" / "bpf.Containerfile"


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = require("systemd-analyze")
    placed = tmp_path / UNIT.name
    placed.write_text(UNIT.read_text().replace("/usr/bin/hopgate-bpf", sys.executable))
    done = subprocess.run([analyze, "verify", placed], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_units_capabilities_are_enough_to_load_and_none_can_be_left_out() -> None:
    setpriv, loader = require("setpriv"), built() / "hopgate-bpf-loader"
    (line,) = re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.MULTILINE)
    names = [each.lower().removeprefix("cap_") for each in line.split()]
    pins = f"/sys/fs/bpf/hopgate-test-{secrets.token_hex(6)}"

    def loads(kept: list[str]) -> bool:
        bounding = ",".join(["-all", *(f"+{name}" for name in kept)])
        only = [setpriv, f"--bounding-set={bounding}", "--no-new-privs", loader, "--pins", pins]
        done = subprocess.run([*only, "load"], capture_output=True).returncode == 0
        subprocess.run([loader, "--pins", pins, "unload"], check=True)
        return done

    assert loads(names)
    assert not loads([name for name in names if name not in {"bpf", "sys_admin"}])


def test_the_container_is_made_of_what_is_there() -> None:
    text = CONTAINER.read_text()
    copied = re.findall(r"^COPY ([\w./-]+) ", text, re.MULTILINE)
    assert copied
    assert [each for each in copied if not (ROOT / each).exists()] == []


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT / "bpf", check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("hopgate_bpf-*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("hopgate_bpf-")}
    assert names == {str(path.relative_to(ROOT / "bpf")) for path in ROOT.glob("bpf/hopgate_bpf/**/*.py")}


def test_what_it_needs_fits_what_the_gateway_needs() -> None:
    def needed(file: Path) -> dict[str, str]:
        listed = tomllib.loads(file.read_text())["project"]["dependencies"]
        return {line.partition(">=")[0]: line for line in listed}

    own, gateways = needed(ROOT / "bpf" / "pyproject.toml"), needed(ROOT / "pyproject.toml")
    assert {name: line for name, line in own.items() if gateways.get(name, line) != line} == {}
