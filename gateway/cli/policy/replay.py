"""``hopgate policy replay``: what other policies would have decided of recorded calls. Reads only."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import msgspec

from gateway.cli.audit import Moment, config_of, looking, store_option
from gateway.cli.policy.staged import form_option, published, since_option, would
from gateway.cli.render import moment, printable
from gateway.config.policy_files import read_policies
from gateway.core.administration import FOLDER
from gateway.core.policy.bundle import Bundle, compile_bundle
from gateway.core.policy.replay import Replay, pieces_of
from gateway.core.policy.replay_report import ReplayReport, summed_up
from gateway.core.registry import Registry
from gateway.publish import cedar_schema
from gateway.store.query import AuditReader


@click.command()
@store_option
@form_option()
@since_option
@click.option("--until", type=Moment(), help="Exclusive.")
@click.option("--staged", "drafts", is_flag=True, help="With all staged policies of PATH enforced.")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.pass_context
def replay(ctx: click.Context, store: str, form: str, since: int, until: int | None, drafts: bool, path: Path) -> None:
    """What the policies below PATH would have decided of recorded calls, and which calls can't be told.

    The registry of --config gives them words and argument types; who and what a call was about stands as of then.
    """
    config = config_of(ctx)
    if config is None:
        raise click.UsageError("give --config FILE: policies are checked against its registry")
    bundle = _compiled(ctx, path, published(ctx, config).snapshot.registry)
    if drafts and bundle.trials:
        bundle = bundle.trials[-1].bundle
    with looking("policy replay"):
        reader = AuditReader(store)
        report = summed_up(reader.decisions(since, until), Replay(bundle, pieces_of(reader.facts())))
    if form == "json":
        click.echo(msgspec.json.encode(report))
        return
    for line in _told(report):
        click.echo(printable(line))


def _compiled(ctx: click.Context, path: Path, registry: Registry) -> Bundle:
    sources, unreadable = read_policies(path)
    others = [source for source in sources if not source.path.startswith(FOLDER)]
    errors = [problem for problem in unreadable if problem.severity == "error"]
    found = compile_bundle(others, cedar_schema(), registry)
    if errors or not isinstance(found, Bundle):
        for problem in (*errors, *(() if isinstance(found, Bundle) else found)):
            click.echo(printable(str(problem)), err=True)
        ctx.exit(1)
    return found


def _told(report: ReplayReport) -> Iterator[str]:
    verdicts = ", ".join(would(report.changes)) or "would change nothing"
    yield f"{verdicts} of {report.decisions:,} recorded calls"
    yield f"same verdict: {report.same:,} ({report.redetermined:,} by other policies)"
    if report.besides:
        yield f"refused whatever policies say: {report.besides:,}"
    for why, count in report.undecidable.items():
        yield f"not decidable: {count:,} ({why})"
    yield from _grouped("by policy", report.by_policy)
    yield from _grouped("by agent", report.by_agent)
    for one in report.examples:
        who = " for ".join(filter(None, (one.agent, one.user)))
        by = ", ".join(one.policies) or one.reason
        yield f"{moment(one.at)}  {one.change}  {who}  {one.action} {one.resource}  {by}  {one.decision}"


def _grouped(title: str, groups: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for name, changes in groups.items():
        yield f"{title}: {name}: {', '.join(would(changes))}"
