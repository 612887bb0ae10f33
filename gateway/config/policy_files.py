"""Collects the Cedar files of a policies folder as text. Deliberately doesn't parse or judge them."""

import os
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


def _cedar_files(folder: Path, problems: list[Problem]) -> list[Path]:
    def unreadable(error: OSError) -> None:
        cause = (error.strerror or "unknown cause").lower()
        problems.append(
            Problem(shown(Path(error.filename)), 0, "", f"can't be listed: {cause}", "check its owner and mode")
        )

    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in names if name.endswith(".cedar") and not name.startswith(".")]
    return sorted(found)
