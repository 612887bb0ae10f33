"""Finds the tests of policies beside them. Deliberately doesn't run or judge them.

``read.tests.json`` is about ``read.cedar`` beside it; a file named ``tests.json`` is about all policies of its folder
and below; at the top, about all that the gateway enforces, so not admin/ and kernel/. Entities may lie in a file of
their own, in the same folder or below it.
"""

import json
import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.config.files import UnreadableError, read_text, shown
from gateway.config.problems import Problem
from gateway.core.policy.expectations import Expectation, read_expectations
from gateway.core.policy.rule import IGNORED_FOLDERS
from gateway.core.policy.source import PolicySource

SUFFIX = ".tests.json"
WHOLE = "tests.json"


class TestFile(Struct, frozen=True):
    """One file of tests, and the policies it is about."""

    path: str
    """Relative to the policies folder."""
    tests: tuple[Expectation, ...]
    about: tuple[PolicySource, ...]
    entities: dict[str, list[dict[str, Any]]]
    """By the names that the tests give."""

    def entities_of(self, test: Expectation) -> list[dict[str, Any]]:
        """The entities of one of the tests."""
        return self.entities[test.entities] if isinstance(test.entities, str) else test.entities


def read_tests(folder: Path, sources: tuple[PolicySource, ...]) -> tuple[tuple[TestFile, ...], tuple[Problem, ...]]:
    """Every test file below ``folder``, sorted by path. ``sources`` are the folder's policies."""

    def read(name: str) -> str:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise UnreadableError(f"{name} lies outside {shown(folder)}", "move it beside the tests")
        return read_text(folder / name)

    names = [path.relative_to(folder).as_posix() for path in _test_files(folder)]
    return _interpreted(names, read, lambda name: shown(folder / name), sources)


def tests_among(
    files: Mapping[str, str], sources: tuple[PolicySource, ...]
) -> tuple[tuple[TestFile, ...], tuple[Problem, ...]]:
    """``read_tests``, of files that are at hand: text by path. ``sources`` are the policies among them."""

    def read(name: str) -> str:
        if name not in files:
            raise UnreadableError(f"there is no file {name}", "add it, or correct the name")
        return files[name]

    return _interpreted(sorted(filter(is_test_file, files)), read, str, sources)


def is_test_file(name: str) -> bool:
    """Whether a file of this name holds tests."""
    return name.rpartition("/")[2] == WHOLE or name.endswith(SUFFIX)


def _interpreted(
    names: Sequence[str], read: Callable[[str], str], where: Callable[[str], str], sources: tuple[PolicySource, ...]
) -> tuple[tuple[TestFile, ...], tuple[Problem, ...]]:
    found: list[TestFile] = []
    problems: list[Problem] = []
    for name in names:
        about = tuple(source for source in sources if _is_about(name, source.path))
        if not about:
            hint = f"name it after a .cedar file beside it, or {WHOLE} for all of its folder"
            problems.append(Problem(where(name), 0, "", "the tests are about no policy file", hint))
            continue
        try:
            tests = read_expectations(read(name))
            named = {test.entities for test in tests if isinstance(test.entities, str)}
            entities = {each: _entities(name, each, read) for each in sorted(named)}
        except UnreadableError as error:
            problems.append(Problem(where(name), 0, "", error.message, error.hint))
        except ValueError as error:
            hint = "the form is that of Cedar's run-tests; docs/POLICIES.md has an example"
            problems.append(Problem(where(name), 0, "", f"not a file of tests: {error}", hint))
        else:
            found.append(TestFile(name, tests, about, entities))
    return tuple(found), tuple(problems)


def _is_about(test: str, policy: str) -> bool:
    folder, _, name = test.rpartition("/")
    if name == WHOLE:
        own = policy.partition("/")[0] in IGNORED_FOLDERS
        return policy.startswith(f"{folder}/") or (not folder and not own)
    return policy == f"{test.removesuffix(SUFFIX)}.cedar"


def _entities(test: str, name: str, read: Callable[[str], str]) -> list[dict[str, Any]]:
    folder = test.rpartition("/")[0]
    path = posixpath.normpath(posixpath.join(folder, name))
    inside = path.startswith(f"{folder}/") if folder else not path.startswith(("/", ".."))
    if not inside:
        raise UnreadableError(f"the entities file {name} lies outside the tests' folder", "move it beside the tests")
    document = json.loads(read(path))
    if not isinstance(document, list) or not all(isinstance(each, dict) for each in document):
        raise ValueError(f"{name} is not a list of entities in Cedar's JSON form")
    return document


def _test_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in names if is_test_file(name)]
    return sorted(found)
