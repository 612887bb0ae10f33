"""``hopgate policy test``: tests that lie beside the policies, in the form of Cedar's ``run-tests``."""

from collections.abc import Iterator
from pathlib import Path

import click

from gateway.app.policy_tests import Result, results, trees_about
from gateway.cli.options import config_file
from gateway.cli.policy.bundles import Format, PolicyCommandError, folder_argument, form_option, loaded, say, show
from gateway.config.policy_files import read_policies
from gateway.config.policy_tests import TestFile, read_tests


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
    found = list(_run(files, config, every=every))
    if form == "json":
        show(found)
    else:
        _tell(found, folder)
    if not all(each.ok for each in found):
        raise SystemExit(1)


def _run(files: tuple[TestFile, ...], config: Path | None, *, every: bool) -> Iterator[Result]:
    try:
        yield from results(files, None if config is None else loaded(config).registry)
        if every:
            yield from _untested(files)
    except ValueError as error:
        raise PolicyCommandError(str(error)) from None


def _untested(files: tuple[TestFile, ...]) -> Iterator[Result]:
    named = {name for file in files for each in file.tests for name in each.reason}
    for file in files:
        for name in sorted(set(trees_about(file)) - named):
            yield Result(file.path, name, False, ("no test has this policy among its reasons",))


def _tell(results: list[Result], folder: Path) -> None:
    failed = [each for each in results if not each.ok]
    for each in failed:
        say(f"{folder / each.file}: {each.test}")
        for line in each.differences:
            say(f"  {line}")
    if failed:
        click.echo(f"{len(failed)} of {len(results)} failed", err=True)
