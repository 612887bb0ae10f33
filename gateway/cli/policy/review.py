"""``hopgate policy review``: which policies are used, by the records, and which to look at. Reads only."""

import csv
import io
import time
from collections.abc import Iterator, Sequence

import click
import msgspec

from gateway.cli.audit import config_of, looking, store_option
from gateway.cli.policy.staged import form_option, published
from gateway.cli.render import moment, printable
from gateway.core.policy.review import DAY_MS, Reviewed, Used, reviewed
from gateway.store.query import AuditReader

_HEADINGS = ("POLICY", "FINDING", "HITS", "LAST DETERMINED", "LAST EVALUATED", "IN FORCE SINCE", "OWNER", "FILE")


@click.command()
@store_option
@form_option("csv")
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="How long a policy may rest.")
@click.pass_context
def review(ctx: click.Context, store: str, form: str, days: int) -> None:
    """When each enforced policy was last evaluated and last decided; permits first, forbids apart.

    A forbid that never hits is called rarely hit, never unused.
    """
    config = config_of(ctx)
    if config is None:
        raise click.UsageError("give --config FILE: its policies are reviewed")
    bundle, now = published(ctx, config).snapshot.bundle, int(time.time() * 1000)
    with looking("policy review"):
        reader = AuditReader(store)
        used = Used(reader.determined(now - days * DAY_MS), reader.asked(), reader.policies_seen())
    found = sorted(reviewed(bundle, used, now, days), key=lambda one: (one.effect == "forbid", one.policy))
    if form == "json":
        click.echo(msgspec.json.encode(found))
    elif form == "csv":
        click.echo(_csv(found), nl=False)
    else:
        for line in _table(found):
            click.echo(line)


def _csv(found: Sequence[Reviewed]) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(Reviewed.__struct_fields__)
    for one in found:
        writer.writerow(["" if value is None else value for value in msgspec.structs.astuple(one)])
    return lines.getvalue()


def _table(found: Sequence[Reviewed]) -> Iterator[str]:
    for effect in ("permit", "forbid"):
        rows = [_row(one) for one in found if one.effect == effect]
        if rows:
            yield f"{effect}s"
            widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
            for row in (_HEADINGS, *rows):
                yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(one: Reviewed) -> tuple[str, ...]:
    times = (one.determined, one.evaluated, one.since)
    told = ["never" if at is None else moment(at) for at in times]
    return tuple(map(printable, (one.policy, one.finding, f"{one.hits:,}", *told, one.owner or "-", one.file)))
