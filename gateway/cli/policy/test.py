"""``hopgate policy test``: tests that lie beside the policies, in the form of Cedar's ``run-tests``."""

from collections.abc import Iterator
from pathlib import Path

import click
from cedarpy import Schema
from msgspec import Struct

from gateway.cli.options import config_file
from gateway.cli.policy.bundles import Format, PolicyCommandError, folder_argument, form_option, loaded, say, show
from gateway.config.policy_files import read_policies
from gateway.config.policy_tests import TestFile, read_tests
from gateway.core.policy.argtypes import arguments_of, schema_with
from gateway.core.policy.expectations import Trees, check, trees_of
from gateway.core.policy.footprint import footprint
from gateway.core.policy.source import Problem
from gateway.publish import cedar_schema


class Result(Struct, frozen=True):
    """One test, and how it went."""

    file: str
    test: str
    ok: bool
    differences: tuple[str, ...] = ()


@click.command()
@config_file("config")
@click.option("--every", is_flag=True, help="Every policy must be a reason of some test.")
@form_option
@folder_argument(required=True)
def test(config: Path | None, every: bool, form: Format, folder: Path) -> None:
    """Run the tests beside the policies of FOLDER; say how those that fail differ.

    With --config, requests are checked against the types of the registry's tools too.
    """
    sources, unread = read_policies(folder)
    files, wrong = read_tests(folder, sources)
    problems = [problem for problem in (*unread, *wrong) if problem.severity == "error"]
    if problems:
        raise PolicyCommandError("\n".join(map(str, problems)))
    if not files:
        raise PolicyCommandError(f"there are no tests in {folder}; hopgate policy new writes some with a policy")
    results = [each for file in files for each in _run(file, config)]
    if every:
        results += _untested(files)
    if form == "json":
        show(results)
    else:
        _tell(results, folder)
    if not all(each.ok for each in results):
        raise SystemExit(1)


def _run(file: TestFile, config: Path | None) -> Iterator[Result]:
    trees = _trees(file)
    schema = _schema(file, trees, config)
    for number, each in enumerate(file.tests, 1):
        failure = check(each, file.entities_of(each), trees, schema)
        differences = () if failure is None else failure.differences
        yield Result(file.path, each.name or f"test {number}", failure is None, differences)


def _trees(file: TestFile) -> Trees:
    found = trees_of(file.about)
    if isinstance(found, Problem):
        raise PolicyCommandError(str(found))
    return found


def _schema(file: TestFile, trees: Trees, config: Path | None) -> Schema | None:
    """What requests are checked against; None where that takes types of arguments, and no registry tells them."""
    if all(source.path.startswith("admin/") for source in file.about):
        return Schema.from_str(cedar_schema("admin"))
    if config is not None:
        return Schema.from_str(schema_with(cedar_schema(), arguments_of(loaded(config).registry)))
    if any(footprint(tree).arguments for tree in trees.values()):
        return None
    return Schema.from_str(cedar_schema())


def _untested(files: tuple[TestFile, ...]) -> Iterator[Result]:
    named = {name for file in files for each in file.tests for name in each.reason}
    for file in files:
        for name in sorted(set(_trees(file)) - named):
            yield Result(file.path, name, False, ("no test has this policy among its reasons",))


def _tell(results: list[Result], folder: Path) -> None:
    failed = [each for each in results if not each.ok]
    for each in failed:
        say(f"{folder / each.file}: {each.test}")
        for line in each.differences:
            say(f"  {line}")
    if failed:
        click.echo(f"{len(failed)} of {len(results)} failed", err=True)
