"""``hopgate webhooks list|redeliver``: what webhooks could not be told of approvals, and telling them again.

Asks the running gateway over its socket. Exit status: 0 done, 1 the gateway refused, 2 it could not be asked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import click
import msgspec

from gateway.admin.api.webhook_letters import PATH
from gateway.cli import render
from gateway.cli.admin_client import ask, socket_path
from gateway.cli.revoke import reaching, text_or_json
from gateway.core.webhook_letters import Standing

PAGE = 200
_HEADINGS = ("ID", "TARGET", "EVENT", "ATTEMPTS", "LAST", "NEXT", "HOW")


@click.group()
def webhooks() -> None:
    """Show what webhooks could not be told, and tell them again."""


@webhooks.command("list")
@reaching
@text_or_json
@click.option("--standing", type=click.Choice(get_args(Standing)), default="dead", help="Which letters.")
def list_(config: Path | None, socket: Path | None, form: str, standing: str) -> None:
    """Letters, newest first."""
    found = _letters(socket_path(config, socket), standing)
    if form == "json":
        click.echo(msgspec.json.encode(found))
        return
    rows = [tuple(map(render.printable, _row(each))) for each in found]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for row in (_HEADINGS, *rows) if rows else ():
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@webhooks.command()
@reaching
@click.argument("names", metavar="ID...", nargs=-1)
@click.option("--target", help="All dead letters of this target.")
def redeliver(config: Path | None, socket: Path | None, names: tuple[str, ...], target: str | None) -> None:
    """Send letters again, under the ids that they had."""
    path = socket_path(config, socket)
    if bool(names) == (target is not None):
        raise click.UsageError("name letters, or a --target")
    if target is not None:
        names = tuple(each["id"] for each in _letters(path, "dead") if each["target"] == target)
        if not names:
            raise click.ClickException(f"no letter to {target} is dead; see hopgate webhooks list")
    for name in reversed(names):
        ask(path, "POST", f"{PATH}/{quote(name, safe='')}/redeliver", {})
        click.echo(f"{name} is sent again")


def _letters(path: Path, standing: str) -> list[Mapping[str, Any]]:
    found, cursor = list[Mapping[str, Any]](), ""
    while True:
        query = {"standing": standing, "limit": PAGE} | ({"cursor": cursor} if cursor else {})
        page = ask(path, "GET", PATH, query=query)
        found += page["letters"]
        cursor = page["next"]
        if not cursor:
            return found


def _row(found: Mapping[str, Any]) -> tuple[str, ...]:
    last, due = found["last_at"], found["due"]
    return (
        found["id"],
        found["target"],
        found["event"],
        str(found["attempts"]),
        "" if last is None else render.moment(last),
        "" if due is None else render.moment(due),
        found["detail"],
    )
