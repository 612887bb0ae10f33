"""The bootstrap: when an environment counts as finished, and what it says when something can't be had."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "environment.py"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module whose repository is a small one of its own."""
    spec = importlib.util.spec_from_file_location("environment", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PEERS", tmp_path / "tests" / "peers")
    locks = tmp_path / "requirements"
    locks.mkdir()
    for name in ("demo", "test"):
        locks.joinpath(f"{name}.txt").write_text("")
    return module


@pytest.fixture
def bare_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH with nothing on it: no uv, no apt-get."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def break_venv(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on plain Debian: the venv module ends with 1 and leaves a half-made environment."""

    def run(command: list[str | Path], **_: object) -> None:
        python = environment.VENV / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text("")
        raise environment.MissingPartError("ensurepip is not available")

    monkeypatch.setattr(environment, "run", run)


def test_a_half_made_environment_is_not_current(environment: ModuleType) -> None:
    environment.VENV.joinpath("bin").mkdir(parents=True)
    environment.VENV.joinpath("bin", "python").write_text("")
    assert not environment.is_current("demo")


def test_an_environment_is_current_until_its_lock_changes(environment: ModuleType) -> None:
    environment.VENV.mkdir()
    environment.stamp_of("demo").write_text(environment.digest(environment.lock_of("demo")))
    assert environment.is_current("demo")
    environment.lock_of("demo").write_text("click==8\n")
    assert not environment.is_current("demo")


def test_an_environment_that_was_moved_is_not_current(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.VENV.mkdir()
    environment.stamp_of("demo").write_text(environment.digest(environment.lock_of("demo")))
    moved = tmp_path / "moved"
    shutil.copytree(environment.VENV, moved / ".venv")
    shutil.copytree(environment.ROOT / "requirements", moved / "requirements")
    monkeypatch.setattr(environment, "ROOT", moved)
    assert not environment.is_current("demo", moved / ".venv")


def test_without_ensurepip_and_root_it_says_what_to_type(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, bare_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_venv(environment, monkeypatch)
    assert environment.main(["demo"]) == 1
    assert "sudo apt install python3-venv" in capsys.readouterr().err
    assert not environment.VENV.exists()


def test_a_real_environment_is_made_linked_and_stamped(environment: ModuleType, bare_path: Path) -> None:
    package = environment.ROOT / "gateway"
    package.mkdir()
    package.joinpath("__init__.py").write_text("")
    package.joinpath("cli.py").write_text("def main():\n    print('from the source tree')\n    return 3\n")
    environment.create_venv(environment.VENV)
    environment.link_project(environment.VENV)
    done = subprocess.run([environment.VENV / "bin" / "hopgate"], cwd="/", capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("from the source tree\n", 3), done.stderr


def test_a_failed_installation_leaves_no_stamp(
    environment: ModuleType, bare_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.lock_of("demo").write_text("this is no requirement\n")
    assert environment.main(["demo"]) == 1
    assert "this is no requirement" in capsys.readouterr().err
    assert not environment.is_current("demo")


def test_a_part_that_cannot_be_had_is_named_and_left_out(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, bare_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.PEERS.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        environment.PEERS.joinpath(name).write_text("{}")
    environment.install_parts("test")
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "left out: curl; type: sudo apt install curl" in line]
    assert [line for line in said if "left out: npm peers" in line]


def test_a_part_that_is_no_command_is_looked_for_where_it_belongs(environment: ModuleType, tmp_path: Path) -> None:
    assert environment.is_there("sh")
    assert not environment.is_there("no-such-command")
    header = tmp_path / "libbpf.h"
    assert not environment.is_there(str(header))
    header.touch()
    assert environment.is_there(str(header))


def test_an_unknown_word_is_refused_with_the_usage() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "everything"], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 2
    assert "demo|test|bench" in done.stderr
