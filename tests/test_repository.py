"""Rules of the repository that no linter knows: size, purity, locks, and what a stranger reads first."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.peers.parts import refuse, require

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 400
BLIND_EXCEPTS = 2
PURE_PACKAGES = {"core": {"gateway.core"}, "protocols": {"gateway.core", "gateway.protocols"}}
PURE_LIBRARIES = {"cedarpy", "msgspec", "rfc8785"}
PURE_STDLIB = {
    *("__future__", "abc", "base64", "binascii", "bisect", "codecs", "collections", "contextlib", "copy"),
    *("dataclasses", "datetime", "decimal", "difflib", "enum", "functools", "graphlib", "hashlib", "heapq", "hmac"),
    *("ipaddress", "itertools", "json", "math", "operator", "re", "string", "struct", "textwrap", "types", "typing"),
    *("unicodedata", "urllib.parse"),
}
REGISTRY = re.compile(r"""(index-url|find-links|registry)["']?\s*[=:\s]\s*["']?https?:|"resolved":\s*"http""")
MACHINE_PATH = re.compile(r"(?<![\w.~*$}/-])/(home|root|Users|work|builds)/\w")


def sources(folder: str = "gateway") -> list[Path]:
    return sorted(ROOT.joinpath(folder).rglob("*.py"))


def all_sources() -> list[Path]:
    """Of both distributions."""
    return [*sources(), *sources("bpf/hopgate_bpf")]


def kept_files() -> list[Path]:
    """Files that are, or are about to be, under version control."""
    listed = subprocess.run(
        [require("git"), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        refuse(f"this is no git checkout: {listed.stderr.strip()}")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def read_text(path: Path) -> str | None:
    """None for what isn't text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def blind_excepts(source: str) -> int:
    """How many handlers catch everything and keep it: bare, ``Exception``, ``BaseException``, alone or in a tuple.

    One that ends by raising the same error again only cleans up, and doesn't count.
    """
    count = 0
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {name.id for name in caught if isinstance(name, ast.Name)}
            is_everything = node.type is None or bool(names & {"Exception", "BaseException"})
            count += is_everything and not reraises(node.body[-1])
    return count


def reraises(statement: ast.stmt) -> bool:
    """Whether ``statement`` is a bare ``raise``."""
    return isinstance(statement, ast.Raise) and statement.exc is None


def imports(source: str) -> set[str]:
    """Absolute module names that ``source`` imports, wherever the statement stands; relative ones begin with a dot."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def is_under(module: str, allowed: set[str]) -> bool:
    """Whether ``module`` is one of ``allowed`` or lies inside it."""
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


def clock_reads(source: str) -> Iterator[str]:
    """``datetime.now()`` and its like: pure code is handed the time."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}:
            owner = ast.unparse(node.value)
            if owner.split(".")[-1] in {"datetime", "date"}:
                yield f"{owner}.{node.attr}"


def pins(lock: str) -> dict[str, str]:
    """Canonical name → version of every pin of ``requirements/<lock>.txt``."""
    text = ROOT.joinpath("requirements", f"{lock}.txt").read_text()
    return {canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==([^\s;\\]+)", text)}


def project() -> dict[str, list[str]]:
    """Requirement lines of pyproject.toml by the lock that they belong to."""
    document = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())
    groups = document["dependency-groups"]
    runtime = document["project"]["dependencies"]
    return {
        "runtime": runtime,
        "demo": [*runtime, *groups["demo"]],
        "test": [*runtime, *groups["demo"], *groups["test"]],
    }


def test_no_source_file_is_too_long() -> None:
    long = {str(p.relative_to(ROOT)): n for p in all_sources() if (n := len(p.read_text().splitlines())) > LONGEST}
    assert long == {}


def test_almost_nothing_catches_everything() -> None:
    counts = {str(p.relative_to(ROOT)): n for p in all_sources() if (n := blind_excepts(p.read_text()))}
    assert sum(counts.values()) <= BLIND_EXCEPTS, counts


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("try: pass\nexcept: pass", 1),
        ("try: pass\nexcept Exception as e: pass", 1),
        ("try: pass\nexcept (ValueError, BaseException): pass", 1),
        ("try: pass\nexcept (ValueError, OSError): pass", 0),
        ("try: pass\nexcept BaseException:\n    close()\n    raise", 0),
        ("try: pass\nexcept Exception as e:\n    raise RuntimeError from e", 1),
    ],
)
def test_blind_excepts_are_seen(source: str, count: int) -> None:
    assert blind_excepts(source) == count


@pytest.mark.parametrize("package", PURE_PACKAGES)
def test_pure_packages_import_only_what_is_listed(package: str) -> None:
    allowed = PURE_PACKAGES[package] | PURE_LIBRARIES
    strangers = {
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources(f"gateway/{package}")
        for module in imports(path.read_text())
        if not is_under(module, allowed) and module not in PURE_STDLIB and module != "collections.abc"
    }
    assert strangers == set()


@pytest.mark.parametrize("package", PURE_PACKAGES)
def test_pure_packages_read_no_clock(package: str) -> None:
    reads = {f"{p.relative_to(ROOT)}: {r}" for p in sources(f"gateway/{package}") for r in clock_reads(p.read_text())}
    assert reads == set()


def test_imports_are_seen_wherever_they_stand() -> None:
    source = "import os.path\ndef f():\n    from time import time\n    from . import model\n    datetime.datetime.now()"
    assert imports(source) == {"os.path", "time", "."}
    assert list(clock_reads(source)) == ["datetime.datetime.now"]


def test_no_module_rebinds_its_globals() -> None:
    rebinding = {
        str(path.relative_to(ROOT))
        for path in all_sources()
        if any(isinstance(node, ast.Global) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert rebinding == set()


def test_no_file_names_a_registry_or_a_machine() -> None:
    named = {
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in kept_files()
        if (text := read_text(path)) is not None
        for found in (REGISTRY.search(text), MACHINE_PATH.search(text))
        if found
    }
    assert named == set()


@pytest.mark.parametrize(
    "line",
    ["--index-url" + " https://x/simple", "registry" + "=https://x/", '"resolved": "' + 'https://x/a.tgz"'],
)
def test_registries_are_seen(line: str) -> None:
    assert REGISTRY.search(line)
    assert MACHINE_PATH.search(f"open('/{'home'}/maria/x')")
    assert not MACHINE_PATH.search("https://example.org/home/maria")


@pytest.mark.parametrize("lock", ["runtime", "demo", "test"])
def test_locks_fit_the_project(lock: str) -> None:
    pinned = pins(lock)
    misfits = [
        line
        for line in project()[lock]
        if not (need := Requirement(line)).specifier.contains(pinned.get(canonicalize_name(need.name), "0"))
    ]
    assert misfits == [], "type: make lock"


@pytest.mark.parametrize("lock", ["runtime", "demo", "test"])
def test_locks_pin_and_hash_everything_and_name_no_address(lock: str) -> None:
    text = ROOT.joinpath("requirements", f"{lock}.txt").read_text()
    entries = re.split(r"(?m)^(?=[\w.-]+==)", text)[1:]
    assert len(entries) == len(pins(lock)) > 0
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text


def test_what_is_tested_is_what_runs() -> None:
    test = pins("test").items()
    assert pins("runtime").items() <= test
    assert pins("demo").items() <= test


def test_changelog_has_an_unreleased_section() -> None:
    assert re.search(r"(?m)^## \[?Unreleased\]?$", ROOT.joinpath("CHANGELOG.md").read_text())


def test_readme_names_only_commands_that_exist() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", ROOT.joinpath("Makefile").read_text()))
    named = {
        target
        for code in re.findall(r"`[^`]+`", ROOT.joinpath("README.md").read_text())
        for target in re.findall(r"\bmake ([a-z-]+)", code)
    }
    assert {"demo", "test"} <= named <= targets
