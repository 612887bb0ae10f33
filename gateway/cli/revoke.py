"""``hopgate revoke`` and ``hopgate revocations list|lift``: stop an agent, a person, a chain, or everything, now.

Asks the running gateway over its socket, so that it is in force when the command ends. Exit status: 0 done, 1 the
gateway refused, 2 it could not be asked.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.cli import render
from gateway.cli.admin_client import ask, socket_path
from gateway.cli.options import config_file
from gateway.core.ports import State
from gateway.core.revocation import Target, condition, describe

PATH = "/api/v1/revocations"
PAGE = 200
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_HEADINGS = ("ID", "WHAT", "UNTIL", "MADE", "BY", "WHY")


class Span(click.ParamType[int]):
    """A length of time: ``90s``, ``1h``, ``2d``. Converts to seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds of ``value``."""
        if isinstance(value, int):
            return value
        number, unit = value[:-1], value[-1:]
        if not (number.isdecimal() and number.isascii() and unit in _UNITS and len(number) < 10 and int(number)):
            self.fail(f"{value!r} is no length of time; write 30m, 1h or 2d", param, ctx)
        return int(number) * _UNITS[unit]


class Condition(click.ParamType[Mapping[str, str]]):
    """``environment == "dev"``. Converts to the target's JSON."""

    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Mapping[str, str]:
        """The target of ``value``."""
        if not isinstance(value, str):
            return dict(value)
        try:
            return dict(msgspec.to_builtins(condition(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def reaching(command: Callable[..., None]) -> Callable[..., None]:
    """The command with options that say which gateway is asked: ``config`` and ``socket``."""
    kind = click.Path(dir_okay=False, path_type=Path)
    given = click.option("--socket", type=kind, help="The gateway's admin socket, in place of --config.")
    return config_file("config")(given(command))


text_or_json = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="Output form."
)


@click.command()
@reaching
@text_or_json
@click.option("--jti", metavar="JTI|DIGEST", help="One token, by its jti or its SHA-256 digest.")
@click.option("--txn", help="One chain, whoever continues it.")
@click.option("--user", metavar="IDP|SUBJECT", help="Every chain of one person.")
@click.option("--agent", metavar="NAME|SPIFFE-ID", help="One agent, and every chain that it is part of.")
@click.option("--where", type=Condition(), metavar="CONDITION", help="Agents by attribute: 'environment == \"dev\"'.")
@click.option("--all", "everything", is_flag=True, help="Everything: the kill switch.")
@click.option("--for", "seconds", type=Span(), metavar="TIME", help="30m, 1h, 2d; until it is lifted by default.")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--yes", is_flag=True, help="Don't ask before --all.")
def revoke(
    config: Path | None, socket: Path | None, form: str, seconds: int | None, reason: str, yes: bool, **named: Any
) -> None:
    """Stop one thing, now: new calls are refused and open streams end within a second."""
    target = _target(named)
    path = socket_path(config, socket)
    if target["kind"] == "all" and not yes:
        click.confirm("stop all traffic of this gateway?", abort=True, err=True)
    body = {"target": target, "reason": reason} | ({} if seconds is None else {"for_seconds": seconds})
    made = ask(path, "POST", PATH, body)
    if form == "json":
        click.echo(msgspec.json.encode(made))
    if target["kind"] in ("agent", "attribute") and not made["agents"]:
        click.echo("no agent that is registered now is meant by this", err=True)


@click.group()
def revocations() -> None:
    """Show what is revoked, and lift it."""


@revocations.command("list")
@reaching
@text_or_json
@click.option("--state", type=click.Choice(["in_force", "expired", "lifted", "any"]), default="in_force")
def list_(config: Path | None, socket: Path | None, form: str, state: str) -> None:
    """What is revoked, newest first."""
    found = list(_all(socket_path(config, socket), state))
    if form == "json":
        click.echo(msgspec.json.encode(found))
        return
    rows = [_row(each) for each in found]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)] if rows else []
    for row in (_HEADINGS, *rows) if rows else ():
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@revocations.command()
@reaching
@click.argument("name", metavar="ID")
@click.option("--reason", default="not given", help="Why; it is recorded.")
def lift(config: Path | None, socket: Path | None, name: str, reason: str) -> None:
    """End a revocation before it expires. It stays on record."""
    if not (name.isascii() and name.isalnum()):
        raise click.UsageError(f"{name!r} is no id; see hopgate revocations list")
    ask(socket_path(config, socket), "DELETE", f"{PATH}/{name}", query={"reason": reason})


def _target(named: Mapping[str, Any]) -> Mapping[str, str]:
    """The target's JSON, of the one option that names one."""
    given = {name: value for name, value in named.items() if value}
    if len(given) != 1:
        raise click.UsageError("name one of --jti, --txn, --user, --agent, --where and --all")
    [(name, value)] = given.items()
    if name == "where":
        return dict(value)
    if name == "everything":
        return {"kind": "all"}
    kind = "token" if name == "jti" else name
    return {"kind": kind, kind: value}


def _all(path: Path, state: str) -> Iterator[Mapping[str, Any]]:
    cursor = ""
    while True:
        query = {"state": state, "limit": PAGE} | ({"cursor": cursor} if cursor else {})
        page = ask(path, "GET", PATH, query=query)
        yield from page["revocations"]
        cursor = page["next"]
        if not cursor:
            return


def _row(made: Mapping[str, Any]) -> Sequence[str]:
    state: State = made["state"]
    until = "" if made["expires"] is None else render.moment(made["expires"] * 1000)
    if state == "lifted":
        until = f"lifted {render.moment(made['lifted']['at'])} by {made['lifted']['by']}"
    elif made["expires"] is None:
        until = "it is lifted"
    what = describe(msgspec.convert(made["target"], Target))
    cells = (made["id"], what, until, render.moment(made["at"]), made["by"], made["reason"])
    return tuple(map(render.printable, cells))
