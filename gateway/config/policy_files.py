"""Collects the Cedar files of a policies folder as text, and what lies beside them.

Deliberately doesn't parse or judge them.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from gateway.config.files import UnreadableError, read_text, shown
from gateway.config.problems import Problem
from gateway.core.policy.source import PolicySource

MAX_FILES = 10_000


def read_policies(folder: Path) -> tuple[tuple[PolicySource, ...], tuple[Problem, ...]]:
    """Every ``*.cedar`` file below ``folder`` with its path relative to it, sorted by path.

    Names that begin with a dot are skipped: editors' files, and the hidden folders that Kubernetes mounts
    the same files from a second time.
    """
    sources: list[PolicySource] = []
    problems: list[Problem] = []
    for path in _cedar_files(folder, problems):
        try:
            sources.append(PolicySource(path.relative_to(folder).as_posix(), read_text(path)))
        except UnreadableError as error:
            problems.append(Problem(shown(path), 0, "", error.message, error.hint))
    if len(sources) > MAX_FILES:
        problems.append(
            Problem(shown(folder), 0, "", f"there are more than {MAX_FILES} policy files", "name a narrower folder")
        )
    if not sources and not problems:
        message = "there are no policies here, so every call will be denied"
        problems.append(Problem(shown(folder), 0, "", message, "add files that end in .cedar", "warning"))
    return tuple(sources), tuple(problems)


def read_companions(folder: Path) -> tuple[Mapping[str, str], tuple[Problem, ...]]:
    """The text of every ``*.json`` file below ``folder`` by its relative path: tests, and entities that they name."""
    problems: list[Problem] = []
    found: dict[str, str] = {}
    for path in _files(folder, ".json", problems):
        try:
            found[path.relative_to(folder).as_posix()] = read_text(path)
        except UnreadableError as error:
            problems.append(Problem(shown(path), 0, "", error.message, error.hint))
    return found, tuple(problems)


def _cedar_files(folder: Path, problems: list[Problem]) -> list[Path]:
    return _files(folder, ".cedar", problems)


def _files(folder: Path, suffix: str, problems: list[Problem]) -> list[Path]:
    def unreadable(error: OSError) -> None:
        cause = (error.strerror or "unknown cause").lower()
        problems.append(
            Problem(shown(Path(error.filename)), 0, "", f"can't be listed: {cause}", "check its owner and mode")
        )

    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in names if name.endswith(suffix) and not name.startswith(".")]
    return sorted(found)
