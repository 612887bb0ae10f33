"""What the ``policy`` commands share: the bundle of a folder under a gateway's registry, and how problems are told."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import click
import msgspec

from gateway.cli import render
from gateway.config.load import Loaded, store_url
from gateway.config.policy_files import read_policies
from gateway.config.problems import Problem, Problems
from gateway.core.errors import StoreError
from gateway.publish import Published, compile_loaded, load_typed, of_version
from gateway.store.policy_versions import kept
from gateway.store.sql import database_path

Format = Literal["text", "json"]
DENIED, INVALID = 2, 3


class PolicyCommandError(click.ClickException):
    """It could not be done: nothing is said about any policy."""

    def show(self, file: Any = None) -> None:
        """One lower-case line on standard error."""
        click.echo(f"hopgate policy: {render.printable(self.message)}", file=file, err=True)


form_option = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Output form.")


F = TypeVar("F", bound=Callable[..., Any])


def folder_argument(name: str = "folder", *, required: bool = False) -> Callable[[F], F]:
    """A policies folder; by default that of the settings."""
    kind = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.argument(name, metavar=name.upper(), type=kind, required=required)


def loaded(config: Path) -> Loaded:
    """The configuration; its policies are those of the store where it owns them and has a version.

    Raises:
        PolicyCommandError: it has errors.
    """
    found = load_typed(config, os.environ)
    if isinstance(found, Problems):
        raise PolicyCommandError("\n".join(map(str, found.errors)))
    if found.settings.publishing.source == "files":
        return found
    try:
        version = kept(found.settings.store.path)
    except StoreError as error:
        raise PolicyCommandError(f"{found.settings.store.path}: {error.detail}") from None
    return found if version is None else of_version(found, version)


def store_path(config: Path) -> Path:
    """The state database of the settings, whatever else is wrong with them.

    Raises:
        PolicyCommandError: they don't say.
    """
    found = store_url(config, os.environ)
    if isinstance(found, Problems):
        raise PolicyCommandError("\n".join(map(str, found.errors)))
    return database_path(found)


def compiled(base: Loaded, folder: Path | None) -> Published | tuple[Problem, ...]:
    """The configuration with the policies of ``folder``, if one is given, or what keeps them from loading."""
    problems: tuple[Problem, ...] = ()
    if folder is not None:
        sources, problems = read_policies(folder)
        settings = msgspec.structs.replace(base.settings, policies=str(folder))
        base = msgspec.structs.replace(base, policies=sources, settings=settings, warnings=())
        if any(problem.severity == "error" for problem in problems):
            return problems
    base = msgspec.structs.replace(base, warnings=problems)
    found = compile_loaded(base, 0, None)
    return found if isinstance(found, Published) else found.items


def compiled_or_exit(base: Loaded, folder: Path | None) -> Published:
    """``compiled``, telling the problems and ending with 3 where there are any."""
    found = compiled(base, folder)
    if not isinstance(found, Published):
        refuse(found)
    return found


def refuse(problems: Sequence[Problem]) -> NoReturn:
    """Tell the problems on standard error and end."""
    for problem in problems:
        click.echo(render.printable(str(problem)), err=True)
    raise SystemExit(INVALID)


def show(value: Any) -> None:
    """The value as JSON."""
    click.echo(msgspec.json.encode(value))


def say(line: str) -> None:
    """One line; nothing in it steers a terminal."""
    click.echo("\n".join(render.printable(part) for part in line.split("\n")))
