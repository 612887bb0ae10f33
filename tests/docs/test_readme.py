"""The README's way to production works as it is written: its commands, its three files, its check."""

import os
import re
import subprocess
import sys
from pathlib import Path

from demo.attacker import ATTEMPTS
from demo.story import SCENES
from gateway.identity.dev import issue_svid

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PRODUCTION = README[README.index("## Go to production") :]
FILES = ("gateway.yaml", "registry.yaml", "policies/platform/finance.cedar")


def block_after(name: str) -> str:
    """The first code block behind the mention of a file."""
    found = re.search(rf"^`{re.escape(name)}`.*?^```\w+\n(.*?)^```", PRODUCTION, re.DOTALL | re.MULTILINE)
    assert found, name
    return found[1]


def test_its_commands_and_files_make_a_configuration_without_problems(tmp_path: Path) -> None:
    commands = re.findall(r"^\$ (.*)$", PRODUCTION, re.MULTILINE)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    files = issue_svid(tmp_path / "ca", "spiffe://example.com/hopgate", tmp_path / "svid", "svid")
    files.certificate.rename(tmp_path / "svid/svid.pem")
    files.key.rename(tmp_path / "svid/svid.key")
    (tmp_path / "svid/bundle.pem").write_bytes(files.bundle.read_bytes())
    assert commands[-1] == "hopgate check --config gateway.yaml"
    for command in commands:
        if command == commands[-1]:
            for name in FILES:
                (tmp_path / name).write_text(block_after(name))
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_demo_s_output_names_every_step_and_how_it_ends() -> None:
    for scene in (*SCENES, *ATTEMPTS):
        row = next(line for line in README.splitlines() if line.startswith(f"ok  {scene.title} "))
        assert row.removeprefix(f"ok  {scene.title}").split()[:2] == [scene.expected, scene.expected]


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
