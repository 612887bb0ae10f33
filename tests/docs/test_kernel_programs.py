"""``docs/KERNEL-PROGRAMS.md``: its commands as printed, by the real loader, and its tables against the sources."""

import os
import re
import subprocess
from pathlib import Path

from hopgate_bpf.rules.image import HEADER
from tests.docs.pages import is_as_printed, steps
from tests.kernel.host import host
from tests.kernel.images import FILES_OF_NOTHING, image, rules

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "KERNEL-PROGRAMS.md").read_text()
SOURCES = "".join(file.read_text() for file in sorted((ROOT / "bpf" / "src").glob("*.[ch]")))


def test_commands_answer_as_printed(tmp_path: Path) -> None:
    classes = (rules("data-analyst", files=FILES_OF_NOTHING),)
    for name, generation in (("image", 7), ("older", 6)):
        (tmp_path / name).write_bytes(image(generation, classes))
        assert (tmp_path / name).stat().st_size > HEADER.size
    with host("docs") as here:
        environment = {"PATH": f"{here.loader.parent}{os.pathsep}{os.environ['PATH']}", "CGROUP": str(here.cgroup("a"))}
        for command, expected in steps(PAGE):
            typed = command.replace("hopgate-bpf-loader", f"hopgate-bpf-loader --pins {here.pins}")
            done = subprocess.run(["sh", "-c", typed], cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert is_as_printed(expected, done.stdout + done.stderr), (command, done.stdout, done.stderr)


def test_every_error_code_is_told_with_its_exit_code() -> None:
    numbers = {"REFUSED": 1, "USAGE": 2, "KERNEL": 3, "NOT_LOADED": 4}
    given = {(code, numbers[status]) for status, code in re.findall(r'fail\((\w+), "(\w+)"', SOURCES)}
    told = {(code, int(number)) for code, number in re.findall(r"^\| `(\w+)` \| (\d) \|", PAGE, re.MULTILINE)}
    assert told == given


def test_limits_are_those_of_the_sources() -> None:
    limits = {name: int(number) for name, number in re.findall(r"#define (\w+) (\d+)u?\b", SOURCES)}
    assert limits["IMAGE_MAX_CLASSES"] == 64
    assert limits["PATH_COMPONENTS"] == 64
    assert limits["CGROUP_LEVELS"] == 16
    assert limits["WALKED"] == 200_000
    for told in ("64 names", "64 components", "16 levels", "200,000 files", "4,096 cgroups"):
        assert told in PAGE
