"""``hopgate approvals list|show|approve|refuse|cancel``: what waits for people, decided on the gateway's host.

Asks the running gateway over its socket: the override, loud in the log, for which no policy and no group is asked.
Exit status: 0 done, 1 the gateway refused, 2 it could not be asked.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from gateway.admin.api.approvals import PATH, Which
from gateway.cli import render
from gateway.cli.admin_client import ask, socket_path
from gateway.cli.revoke import reaching, text_or_json

PAGE = 200
_HEADINGS = ("ID", "STATE", "WHAT", "FOR", "BY", "NEEDS", "UNTIL")


@click.group()
def approvals() -> None:
    """Show what waits for people, and decide it."""


@approvals.command("list")
@reaching
@text_or_json
@click.option("--state", type=click.Choice(get_args(Which)), default="pending", help="Which ones.")
def list_(config: Path | None, socket: Path | None, form: str, state: str) -> None:
    """Approvals, newest first."""
    path, found, cursor = socket_path(config, socket), list[Mapping[str, Any]](), ""
    while True:
        query = {"state": state, "limit": PAGE} | ({"cursor": cursor} if cursor else {})
        page = ask(path, "GET", PATH, query=query)
        found += page["approvals"]
        cursor = page["next"]
        if not cursor:
            break
    if form == "json":
        click.echo(msgspec.json.encode(found))
        return
    rows = [tuple(map(render.printable, _row(each))) for each in found]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)] if rows else []
    for row in (_HEADINGS, *rows) if rows else ():
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@approvals.command()
@reaching
@text_or_json
@click.argument("name", metavar="ID")
def show(config: Path | None, socket: Path | None, form: str, name: str) -> None:
    """One approval: who asked, through which chain, and exactly what it would do."""
    found = _found(socket_path(config, socket), name)
    if form == "json":
        click.echo(msgspec.json.encode(found))
        return
    for label, text in _lines(found):
        click.echo(f"{label:<10} {render.printable(text)}")


def _deciding(word: str, meaning: str) -> click.Command:
    @reaching
    @click.argument("name", metavar="ID")
    @click.option("--comment", default="", help="What is recorded with it.")
    @click.option("--version", type=int, help="Only as it was shown under this version.")
    def decide(config: Path | None, socket: Path | None, name: str, comment: str, version: int | None) -> None:
        path = socket_path(config, socket)
        _check(name)
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        found = ask(path, "POST", f"{PATH}/{name}/{word}", {"comment": comment}, headers=headers)
        click.echo(f"{found['id']} is {found['state']}")

    return click.command(word, help=meaning)(decide)


approvals.add_command(_deciding("approve", "Say yes, for every group."))
approvals.add_command(_deciding("refuse", "Say no."))
approvals.add_command(_deciding("cancel", "Call it off, as long as it isn't used."))


def _found(path: Path, name: str) -> Mapping[str, Any]:
    _check(name)
    return dict(ask(path, "GET", f"{PATH}/{name}"))


def _check(name: str) -> None:
    if not (name.isascii() and name.isalnum()):
        raise click.UsageError(f"{name!r} is no id; see hopgate approvals list")


def _row(found: Mapping[str, Any]) -> Sequence[str]:
    needs = ", ".join(_need(each) for each in found["needs"])
    until = {"pending": found["decide_by"], "approved": found["use_by"]}.get(found["state"])
    what = f"{found['action']} on {found['resource']}"
    caller = found["agents"][-1] if found["agents"] else ""
    moment = "" if until is None else render.moment(until * 1000)
    return found["id"], found["state"], what, found["user"], caller, needs, moment


def _need(need: Mapping[str, Any]) -> str:
    many = "" if need["quorum"] == 1 else f" ({need['quorum']})"
    return f"{need['group']}{many}{' ✓' if need['said_yes'] else ''}"


def _lines(found: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    lines = [
        ("approval", f"{found['id']}, version {found['version']}"),
        ("state", found["state"] + (f": {found['detail']}" if found["detail"] else "")),
        ("what", f"{found['action']} on {found['resource']}"),
        ("for", found["user"]),
        ("through", " → ".join(found["agents"])),
        ("purpose", found["purpose"] or ""),
        ("asked", f"{render.moment(found['asked_at'])} by decision {found['hop']}"),
        ("policies", ", ".join(found["policies"])),
        ("needs", ", ".join(_need(each) for each in found["needs"])),
        *(("said", f"{each['verdict']} by {each['by']}: {each['comment']}") for each in found["votes"]),
        ("decide by", render.moment(found["decide_by"] * 1000)),
        ("use by", "" if found["use_by"] is None else render.moment(found["use_by"] * 1000)),
        ("used by", found["consumed_by"]),
        ("call", "" if found["call"] is None else msgspec.json.encode(found["call"]).decode()),
    ]
    return [(label, text) for label, text in lines if text]
