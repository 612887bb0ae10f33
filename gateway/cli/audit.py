"""``hopgate audit query|show|verify``: who did what, by whose authority, and proof that the log is whole.

Reads only, beside a running gateway or after it. Exit status: 0 found or verified, 1 nothing found or a
bad record, 2 could not look.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import click
import msgspec

from gateway.cli import render
from gateway.cli.follow import follow
from gateway.cli.near import Near, near
from gateway.cli.options import config_file
from gateway.config.federation_settings import PeerSettings
from gateway.config.load import configured_peers, store_url
from gateway.config.problems import Problems
from gateway.core.audit import CheckpointRecord, Node, Report, decode, forest
from gateway.core.audit import verify as verify_rows
from gateway.core.audit.record import Verdict
from gateway.core.errors import StoreError
from gateway.store.checkpoint_key import load_checks
from gateway.store.query import AuditReader, Cursor, Filters, Page

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UID = re.compile(r'([A-Za-z_][\w:]*)::"(.*)"', re.DOTALL)
_VERDICTS = (*get_args(Verdict), "refused", "would_deny")

_CONFIG = "hopgate.audit.config"

Format = Literal["table", "json"]


class CannotLookError(click.ClickException):
    """The log can't be read, or the question isn't one."""

    exit_code = 2

    def __init__(self, message: str, command: str = "audit") -> None:
        super().__init__(message)
        self._command = command

    def show(self, file: Any = None) -> None:
        """One lower-case line on standard error."""
        click.echo(f"hopgate {self._command}: {render.printable(self.message)}", file=file, err=True)


class Moment(click.ParamType[int]):
    """A time: ``1h`` ago, or ISO 8601 (UTC where no zone is given). Converts to Unix milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds of ``value``; a number of units back from now, or a date."""
        if isinstance(value, int):
            return value
        number, unit = value[:-1], value[-1:]
        if number.isdecimal() and number.isascii() and unit in _UNITS and len(number) < 10:
            return int((time.time() - int(number) * _UNITS[unit]) * 1000)
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time; write 30m, 1h, 2d or 2026-07-28T12:00:00Z", param, ctx)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


class PageMark(click.ParamType[Cursor]):
    """The ``next`` of a former page."""

    name = "mark"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Cursor:
        """The cursor that ``value`` writes."""
        at, _, place = str(value).partition(":")
        writer, _, seq = place.rpartition(":")
        if not (at.isdecimal() and writer and seq.isdecimal()):
            self.fail(f"{value!r} is no page mark; use the one that the former page printed", param, ctx)
        return int(at), writer, int(seq)


def _store_of(ctx: click.Context, _: click.Parameter, url: str | None) -> str:
    """The store URL of ``--store``, or else of the settings file of ``--config``."""
    path = ctx.params.pop("config", None)
    ctx.meta[_CONFIG] = path
    if url is not None:
        return url
    if path is None:
        raise click.UsageError("give --config FILE or --store URL")
    found = store_url(path, os.environ)
    if isinstance(found, Problems):
        raise CannotLookError(str(found))
    return found


def config_of(ctx: click.Context) -> Path | None:
    """The settings file that ``store_option`` was given, if it was."""
    found: Path | None = ctx.meta.get(_CONFIG)
    return found


def _peers(config: Path | None) -> Mapping[str, PeerSettings]:
    """The peer gateways of the settings, where there are any."""
    if config is None:
        return {}
    found = configured_peers(config, os.environ)
    if isinstance(found, Problems):
        raise CannotLookError(str(found))
    return found


def store_option(command: Callable[..., None]) -> Callable[..., None]:
    """``--config FILE`` or ``--store URL``, as the parameter ``store``."""
    config = config_file("config", is_eager=True)
    store = click.option(
        "--store", metavar="URL", callback=_store_of, help="The gateway's store, sqlite:///FILE, in place of --config."
    )
    return config(store(command))


_format = click.option("--format", "form", type=click.Choice(get_args(Format)), default="table", help="Output form.")


@click.group()
def audit() -> None:
    """Ask the provenance log who did what, by whose authority, and check that it is whole."""


@audit.command()
@store_option
@_format
@click.option("--agent", help="Registered name, or the SPIFFE ID of one that is not registered.")
@click.option("--user", help="<idp>|<subject>.")
@click.option("--policy", help="Id of a policy that decided.")
@click.option("--action", help="Cedar action, e.g. invokeTool.")
@click.option("--resource", help='ledger/pay, or Tool::"ledger/pay".')
@click.option("--verdict", type=click.Choice(_VERDICTS))
@click.option("--since", type=Moment(), help="1h, 2d, or ISO 8601; inclusive.")
@click.option("--until", type=Moment(), help="Exclusive.")
@click.option("--trace", "trace_id", help="Trace id.")
@click.option("--txn", help="Chain id.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--before", type=PageMark(), metavar="MARK", help="Go on where the former page ended.")
def query(store: str, form: Format, **asked: Any) -> None:
    """Decisions and refusals that fit all filters, newest first."""
    uid = _UID.fullmatch(asked["resource"] or "")
    if uid is not None:
        asked |= {"resource_type": uid[1], "resource": uid[2]}
    with looking():
        page = AuditReader(store).query(Filters(**asked))
    if form == "json":
        _print_json({"found": page.found, "next": _mark(page)})
        return
    for line in render.table(page.found):
        _print(line)
    if page.next is not None:
        click.echo(f"more: --before {_mark(page)}", err=True)


@audit.command()
@store_option
@_format
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
def admin(store: str, form: Format, limit: int) -> None:
    """Who administered the gateway, or tried to, newest first."""
    with looking():
        found = AuditReader(store).administration(limit)
    if form == "json":
        _print_json(found)
        return
    for line in render.administration(found):
        _print(line)


@audit.command()
@store_option
@_format
@click.option(
    "--follow", "following", is_flag=True, help="Read the logs of peer gateways too, as far as they are there."
)
@click.option("--with", "others", metavar="URL", multiple=True, help="Another gateway's store to follow into.")
@click.argument("key", metavar="TXN|TRACE|DECISION-ID")
@click.pass_context
def show(ctx: click.Context, store: str, form: Format, key: str, following: bool, others: tuple[str, ...]) -> None:
    """The whole chain as a tree: every hop, the policies that decided it, what they read, how it ended.

    Where nothing permitted a hop, the permits that came near are told clause by clause, if --config names the policies
    that decided it. A chain that crosses to other trust domains is one tree with --follow; logs that can't be read are
    named.
    """
    if others and not following:
        raise click.UsageError("--with is for --follow")
    with looking():
        records = AuditReader(store).chain(key)
        if following:
            found = follow(key, records, others, _peers(config_of(ctx)))
            records = found.records
            for line in found.missing:
                click.echo(render.printable(f"not followed: {line}"), err=True)
        roots = forest(records)
        told = near(roots, store, config_of(ctx))
    if not roots:
        click.echo(f"hopgate audit: no chain, trace or decision {render.printable(key)}", err=True)
        ctx.exit(1)
    if form == "json":
        _print_json([_with_near(node, told) for node in roots])
        return
    for line in render.tree(roots, marked=key, told=told):
        _print(line)


@audit.command()
@store_option
@_format
@click.option(
    "--checkpoint-key",
    "key_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PEM file of the public keys that sign checkpoints.",
)
@click.option(
    "--checkpoints",
    "checkpoint_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Checkpoints kept off the host, one JSON record a line.",
)
@click.pass_context
def verify(ctx: click.Context, store: str, form: Format, key_file: Path | None, checkpoint_file: Path | None) -> None:
    """Check every link and checkpoint; name the first bad record, and what no checkpoint covers."""
    with looking():
        reader = AuditReader(store)
        exported = () if checkpoint_file is None else tuple(_checkpoints(checkpoint_file))
        report = verify_rows(reader.rows(), exported, None if key_file is None else load_checks(key_file))
        if report.fault is None:
            report = msgspec.structs.replace(report, fault=reader.index_fault())
    if form == "json":
        _print_json(report)
    else:
        _print_report(report)
    ctx.exit(0 if report.ok else 1)


@contextmanager
def looking(command: str = "audit") -> Iterator[None]:
    """Turn what keeps the log from being read into one line of ``hopgate <command>``."""
    try:
        yield
    except StoreError as error:
        raise CannotLookError(error.detail, command) from error
    except OSError as error:
        raise CannotLookError(f"{error.filename}: {error.strerror}", command) from error
    except ValueError as error:
        raise CannotLookError(str(error), command) from error


def _with_near(node: Node, told: Mapping[str, Near]) -> dict[str, Any]:
    """The node as JSON, with what came near where nothing permitted it."""
    fields = msgspec.structs.asdict(node)
    children = [_with_near(child, told) for child in node.children]
    found = told.get(node.record.hop)
    return {**fields, "children": children, **({} if found is None else {"near": found})}


def _checkpoints(path: Path) -> Iterator[CheckpointRecord]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = decode(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: not a checkpoint record: {error}") from error
        if not isinstance(record, CheckpointRecord):
            raise ValueError(f"{path}:{number}: a {record.__struct_config__.tag} record, not a checkpoint")
        yield record


def _print_report(report: Report) -> None:
    if report.fault is not None:
        fault = report.fault
        click.echo(render.printable(f"bad record {fault.seq} of {fault.writer}: {fault.why}"), err=True)
        return
    if not report.checkpoints:
        click.echo("links verified, signatures not: give --checkpoint-key", err=True)
    for part in report.beyond:
        count = f"{part.count} record{'' if part.count == 1 else 's'}"
        _print(f"{render.printable(part.writer)}: {count} from {part.first} on lie beyond the last checkpoint")


def _mark(page: Page) -> str | None:
    return None if page.next is None else ":".join(map(str, page.next))


def _print(line: str) -> None:
    # click strips colours itself where the output is no terminal.
    click.echo(line, color=False if os.environ.get("NO_COLOR") else None)


def _print_json(value: Any) -> None:
    click.echo(msgspec.json.encode(value))
