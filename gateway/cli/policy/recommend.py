"""``hopgate policy recommend``: staged policies by attribute, from the calls that were permitted. Changes no policy."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.cli.audit import Moment, config_of, looking, store_option
from gateway.cli.policy.bundles import PolicyCommandError, loaded, refuse
from gateway.cli.policy.staged import form_option
from gateway.cli.render import moment, printable
from gateway.config.load import Loaded
from gateway.core.policy.recommend import Recommendation, Recommended, TooMuchError, by_file, recommend
from gateway.core.policy.recommend_phase import PHASES, Phase, Thresholds
from gateway.core.policy.recommend_pockets import Caution
from gateway.core.policy.recommend_seen import DAY_MS, Seen, seen
from gateway.core.policy.replay import pieces_of
from gateway.core.policy.source import PolicySource
from gateway.core.policy.staged_rules import MOST_CHANGES
from gateway.publish import Published, compile_loaded
from gateway.store.completed import completed
from gateway.store.query import AuditReader

_HEADINGS = ("POLICY", "PHASE", "BY", "CALLS", "AGENTS", "PEOPLE", "DAYS", "LAST", "NEW AGENTS", "FILE")
_DAYS = click.IntRange(1, 3650)


@click.command("recommend")
@store_option
@form_option()
@click.option("--since", type=Moment(), default="30d", show_default=True, help="1h, 2d, or ISO 8601.")
@click.option("--team", help="Only about the tools of this team.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write the policies below this folder.")
@click.option(
    "--phase", type=click.Choice(PHASES), default="stabilising", show_default=True, help="The least that is written."
)
@click.option("--calls", type=click.IntRange(min=1), default=20, show_default=True, help="Fewer: still learning.")
@click.option("--days", type=_DAYS, default=3, show_default=True, help="Calls on fewer days: still learning.")
@click.option(
    "--new", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="More new pairs: stabilising."
)
@click.option("--recent", type=_DAYS, default=7, show_default=True, help="Days that are looked at for new pairs.")
@click.option("--agents", type=click.IntRange(min=2), default=3, show_default=True, help="Fewest for attributes.")
@click.option("--pairs", type=click.IntRange(min=2), default=8, show_default=True, help="Of agent and tool: the same.")
@click.option("--cautious", is_flag=True, help="Refuse attributes where use doesn't speak for all that they permit.")
@click.option("--bits", type=float, default=10, show_default=True, help="Fewest that conditions save, if cautious.")
@click.pass_context
def recommend_command(ctx: click.Context, /, store: str, form: str, since: int, team: str | None, **given: Any) -> None:
    """Recommend staged policies from recorded permits: by attributes, with what each rests on.

    Nothing comes from denials, from calls that people approved, or from calls that failed.
    """
    config = config_of(ctx)
    if config is None:
        raise click.UsageError("give --config FILE: policies are made of its registry's attributes")
    base = loaded(config)
    if team is not None and team not in base.registry.teams:
        raise PolicyCommandError(f"no team is registered as {team}")
    thresholds = Thresholds(
        calls=given["calls"],
        days=given["days"],
        new=given["new"],
        recent_from=int(time.time() * 1000 - given["recent"] * DAY_MS),
        caution=Caution(
            agents=given["agents"], pairs=given["pairs"], cautious=given["cautious"], saved_bits=given["bits"]
        ),
    )
    with looking("policy recommend"):
        reader = AuditReader(store)
        known = pieces_of(reader.facts())
        told = seen(completed(reader.paths, since), known, base.registry, thresholds.recent_from)
    try:
        found = recommend(told, base.registry, thresholds, team)
    except TooMuchError as error:
        raise PolicyCommandError(str(error)) from None
    if given["out"] is not None:
        _write(base, _ready(base, found.found, given["phase"]), given["out"])
    if form == "json":
        click.echo(msgspec.json.encode({"recommended": found, "left_out": told.left_out}))
        return
    for line in _table(found, told):
        click.echo(printable(line))


def _ready(base: Loaded, found: Sequence[Recommendation], least: Phase) -> list[Recommendation]:
    """What is to be written: new, settled enough, and of those the strongest, as many as can be staged."""
    texts = "\n".join(source.text for source in base.policies)
    ready = [each for each in found if PHASES.index(each.phase) >= PHASES.index(least) and f'"{each.id}"' not in texts]
    room = MOST_CHANGES - texts.count("@mode(")
    kept = sorted(ready, key=lambda each: (each.by, -each.evidence.calls, each.id))[: max(room, 0)]
    if len(kept) < len(ready):
        click.echo(f"{len(ready) - len(kept)} are not written: at most {MOST_CHANGES} can be staged at once", err=True)
    return [each for each in ready if each in kept]


def _write(base: Loaded, found: Sequence[Recommendation], out: Path) -> None:
    """All files or none, and only if the bundle loads with them."""
    files = by_file(found)
    there = [path for path in files if (out / path).exists()]
    if there:
        raise PolicyCommandError(f"{out / there[0]} is there already; remove it, or give another --out")
    texts = {source.path: source.text for source in base.policies}
    texts |= {path: f"{texts.get(path, '')}\n{text}" for path, text in files.items()}
    sources = tuple(PolicySource(path, text) for path, text in texts.items())
    loads = compile_loaded(msgspec.structs.replace(base, policies=sources), 0, None)
    if not isinstance(loads, Published):
        refuse(loads.errors)
    written: list[Path] = []
    for path, text in files.items():
        file = out / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            written.append(file)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            for other in written:
                other.unlink(missing_ok=True)
            raise PolicyCommandError(f"{file} can't be written: {error.strerror}") from None


def _table(found: Recommended, told: Seen) -> Iterator[str]:
    rows = [_row(each) for each in found.found]
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for row in (_HEADINGS, *rows) if rows else ():
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for each in found.found:
        yield ""
        yield from each.text.rstrip("\n").split("\n")
        for chosen in each.chosen:
            yield f"  {chosen.condition}: {chosen.why}"
        yield f"  generalises to {_beyond(each)}"
    if not found.found:
        yield "nothing to recommend"
    yield f"unexplained: {found.unexplained:,} pairs of agent and tool, used too little or by too few"
    for why, count in told.left_out.items():
        yield f"left out: {count:,} decisions: {why}"


def _beyond(each: Recommendation) -> str:
    beyond = each.beyond
    names = f" ({', '.join(beyond.names)}{', …' if beyond.agents > len(beyond.names) else ''})" if beyond.names else ""
    return (
        f"{beyond.agents:,} agents not seen yet{names}, {beyond.tools:,} tools, "
        f"{beyond.requests:,} requests of agents for tools"
    )


def _row(each: Recommendation) -> tuple[str, ...]:
    told = each.evidence
    counts = (told.calls, told.agents, told.people, told.days)
    numbers = [f"{count:,}" for count in counts]
    return each.id, each.phase, each.by, *numbers, moment(told.last), f"{each.beyond.agents:,}", each.file
