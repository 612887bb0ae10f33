"""``hopgate policy staged``: what staged policies would have changed; and what its sister commands share.

Reads records and configuration, beside a running gateway or after it; changes nothing. Exit status: 0 told, 1 the
policies can't be compiled, 2 could not look.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.cli.audit import Format, Moment, config_of, looking, store_option
from gateway.cli.render import moment, printable
from gateway.config.problems import Problems
from gateway.core.policy.staged_report import DraftReport, summed_up
from gateway.core.policy.staged_rules import Change
from gateway.publish import Published, publish
from gateway.store.query import AuditReader

since_option = click.option("--since", type=Moment(), default="7d", show_default=True, help="1h, 2d, or ISO 8601.")


def form_option(*more: str) -> Callable[[Any], Any]:
    """``--format table|json``, and what else the command writes."""
    forms = click.Choice(("table", "json", *more))
    return click.option("--format", "form", type=forms, default="table", show_default=True)


@click.command()
@store_option
@form_option()
@since_option
@click.pass_context
def staged(ctx: click.Context, store: str, form: Format, since: int) -> None:
    """What each staged policy would have changed, by the records of the calls that it concerned."""
    config = config_of(ctx)
    with looking("policy staged"):
        reports = summed_up(AuditReader(store).decisions(since))
    now = None if config is None else {change.key: change for change in published(ctx, config).snapshot.bundle.changes}
    if form == "json":
        click.echo(msgspec.json.encode({"drafts": reports, "staged": None if now is None else list(now.values())}))
        return
    for line in _told(reports, now):
        click.echo(line)


def published(ctx: click.Context, config: Path) -> Published:
    """The configuration, compiled; ends the command with status 1 where it can't be."""
    found = publish(config, os.environ, 1, None)
    if isinstance(found, Problems):
        for problem in found.errors:
            click.echo(printable(str(problem)), err=True)
        ctx.exit(1)
    return found


def _told(reports: Sequence[DraftReport], now: Mapping[str, Change] | None) -> Iterator[str]:
    for report in reports:
        key = f"{report.policy}@{report.revision}"
        gone = "" if now is None or report.policy is None or key in now else " (no longer staged)"
        name = "all together" if report.policy is None else key
        verdicts = ", ".join(would(report.changes)) or "would change nothing"
        of = f"of {report.concerned:,} calls that it concerns, {report.of_all:,} in all"
        yield printable(f"{name}{gone}: {verdicts} {of}")
        if report.errors:
            yield f"  could not be evaluated on {report.errors:,} of them: such a policy would deny with policy_error"
        yield f"  since {moment(report.since)}, last {moment(report.until)}"
        for one in report.examples:
            who = " for ".join(filter(None, (one.agent, one.user)))
            yield printable(f"  {one.change}  {who}  {one.action} {one.resource}  {one.reason}  {one.decision}")
    seen = {f"{report.policy}@{report.revision}" for report in reports}
    for key, change in (now or {}).items():
        if key not in seen:
            yield printable(f"{key}: staged ({change.kind}), has concerned no call in this time")
    if not reports and not now:
        yield "no staged policy concerned a call in this time"


def would(changes: Mapping[str, int]) -> Iterator[str]:
    """``would deny 12`` for each change of verdict."""
    for change, count in changes.items():
        before, _, then = change.partition(" -> ")
        yield f"would {then} {count:,}" + (f" ({before} for another reason)" if before == then else "")
