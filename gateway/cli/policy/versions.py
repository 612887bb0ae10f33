"""``hopgate policy versions``: every version of the policies that was in force. Reads the store, beside a gateway or
after it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from gateway.cli.options import config_file
from gateway.cli.policy.bundles import Format, PolicyCommandError, form_option, say, show, store_path
from gateway.cli.render import moment
from gateway.core.errors import StoreError
from gateway.core.versions import Version, VersionFacts
from gateway.store.policy_versions import history, kept

_HEADINGS = ("VERSION", "IN FORCE SINCE", "BY", "HOW", "DIGEST", "COMMENT")
DIGEST_CHARS = 12


@click.command()
@config_file("config", required=True)
@form_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest.")
@click.option("--write", "folder", type=click.Path(path_type=Path), help="Write VERSION's files into this new folder.")
@click.argument("version", type=click.IntRange(1), required=False)
def versions(config: Path, form: Format, limit: int, folder: Path | None, version: int | None) -> None:
    """List the versions of the policies, newest first; or say what VERSION holds."""
    store = store_path(config)
    if version is None:
        if folder is not None:
            raise click.UsageError("--write needs a VERSION")
        _list(store, limit, form)
        return
    found = version_of(store, version)
    if folder is not None:
        _write(found, folder)
    elif form == "json":
        show(found)
    else:
        say(f"version {found.facts.number}, digest {found.facts.digest}, bundle {found.facts.bundle}")
        for path in sorted(found.files):
            say(f"  {path}")


def version_of(store: Path, number: int) -> Version:
    """The version of that number.

    Raises:
        PolicyCommandError: there is none, or the store can't be read.
    """
    try:
        found = kept(store, number)
    except StoreError as error:
        raise PolicyCommandError(f"{store}: {error.detail}") from None
    if found is None:
        raise PolicyCommandError(f"there is no version {number}; hopgate policy versions lists them")
    return found


def _list(store: Path, limit: int, form: Format) -> None:
    try:
        found = history(store, limit)
    except StoreError as error:
        raise PolicyCommandError(f"{store}: {error.detail}") from None
    if form == "json":
        show(found)
        return
    for line in _table(found):
        say(line)


def _table(found: Sequence[VersionFacts]) -> Iterator[str]:
    rows = [_row(one) for one in found]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for row in (_HEADINGS, *rows) if rows else ():
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(one: VersionFacts) -> tuple[str, ...]:
    how = one.origin if one.back_to is None else f"{one.origin} to {one.back_to}"
    return str(one.number), moment(one.at), one.by, how, one.digest[:DIGEST_CHARS], one.comment


def _write(version: Version, folder: Path) -> None:
    if folder.exists():
        raise PolicyCommandError(f"{folder} is there already; name a new folder")
    for path, text in version.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
