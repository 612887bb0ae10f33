"""``docs/REFUSALS.md`` is what a reader sees: each command is run against the demo, each answer compared."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import is_as_printed, steps
from tests.peers.parts import require

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "REFUSALS.md"
UP = "up until ctrl-c"
SECONDS = 120
END = "--end of the answer--"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Path]:
    """The demo, up, in a folder of its own."""
    folder, said = tmp_path / "demo", tmp_path / "said"
    command = [sys.executable, "-u", "-m", "demo.run", "--directory", str(folder)]
    with said.open("w") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as process:
        until = time.monotonic() + SECONDS
        while UP not in said.read_text() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        try:
            assert UP in said.read_text(), said.read_text()
            yield folder
        finally:
            # Not SIGINT, which a shell's background jobs ignore.
            process.terminate()
            process.wait(timeout=30)


def test_every_answer_is_as_printed(demo: Path) -> None:
    require("curl")
    require("openssl")
    page = PAGE.read_text().replace(".demo/", f"{demo}/")
    told = list(steps(page))
    assert len(told) > 20
    script = "".join(f"{command}\necho\necho '{END}'\n" for command, _ in told)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"}
    done = subprocess.run(
        ["bash"], input=script, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    answers = done.stdout.split(f"{END}\n")
    wrong = [
        f"$ {command}\nexpected: {expected}\nanswered: {answer}"
        for (command, expected), answer in zip(told, answers, strict=False)
        if not is_as_printed(expected, answer)
    ]
    assert not wrong, "\n\n".join(wrong)
