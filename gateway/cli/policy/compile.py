"""``hopgate policy compile``: what of the policies reaches the kernel, what stays behind and why, and what to mend."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from gateway.cli.options import config_file
from gateway.cli.policy.bundles import (
    Format,
    PolicyCommandError,
    compiled_or_exit,
    folder_argument,
    form_option,
    loaded,
    say,
    show,
)  # fmt: skip
from gateway.core.kernel.actions import RESOURCE_OF
from gateway.core.kernel.compile import Compilation
from gateway.core.kernel.generation import rules_of
from gateway.core.kernel.report import ClassReport, Lint, PolicyReport, Report, Stays
from gateway.core.kernel.rules import ClassRules
from gateway.core.policy.source import did_you_mean

NODE = "(compiled by hand)"


class Told(msgspec.Struct, frozen=True):
    """The rules as they would be sent, but for generation and node, and the report on them."""

    digest: str
    rules: tuple[ClassRules, ...]
    report: Report


@click.command("compile")
@config_file("config", required=True)
@click.option("--target", type=click.Choice(["kernel"]), required=True, help="What to compile for.")
@click.option("--class", "kind", metavar="NAME", help="Only this class of agents.")
@form_option
@folder_argument()
def compile_(config: Path, target: str, kind: str | None, form: Format, folder: Path | None) -> None:
    """Compile the policies of FOLDER, or of the settings, for the kernel; say what compiles, what stays, what to mend.

    Silence about an action of a class means that the kernel permits exactly what Cedar permits.
    """
    published = compiled_or_exit(loaded(config), folder)
    done = rules_of(published.snapshot, NODE)
    if kind is not None:
        done = _only(done, kind)
    if form == "json":
        show(Told(done.rules.digest, done.rules.classes, done.report))
        return
    for line in _lines(done.report):
        say(line)


def _only(done: Compilation, kind: str) -> Compilation:
    known = [each.name for each in done.rules.classes]
    if kind not in known:
        raise PolicyCommandError(f"no agent is in class {kind}{did_you_mean(kind, known)}; classes are in the registry")
    report = done.report
    stays = [msgspec.structs.replace(each, classes=(kind,)) for each in report.stays if kind in each.classes]
    policies = tuple(each for each in report.policies if kind in each.classes)
    ids = {each.id for each in policies}
    return Compilation(
        msgspec.structs.replace(done.rules, classes=tuple(each for each in done.rules.classes if each.name == kind)),
        Report(
            classes=tuple(each for each in report.classes if each.name == kind),
            policies=policies,
            stays=tuple(stays),
            lints=tuple(each for each in report.lints if each.policy in ids),
        ),
    )


def _lines(report: Report) -> Iterator[str]:
    for one in report.classes:
        yield from _class(one)
    for each in report.refused:
        yield f"{each}; it has no rules, and is denied everything"
    if report.policies:
        yield ""
        yield from _columns([("policy", "effect", "outcome", "classes", "place"), *map(_policy, report.policies)])
    yield from _left(report.stays)
    yield from _lints(report.lints)


def _class(one: ClassReport) -> Iterator[str]:
    agents = ", ".join(one.agents) or "no registered agent"
    modes = [word for word, on in (("audit", one.audit), ("hide", one.hide)) if on]
    yield f"class {one.name} ({agents}){''.join(f', {mode}' for mode in modes)}"
    size = (_count(one.states, "state"), _count(one.byte_classes, "byte class"), _count(one.anchors, "anchor"))
    yield f"  files: {', '.join(size)}"
    yield f"  network: {_count(one.network, 'rule')}; listening: {_count(one.binds, 'rule')}"
    calls = "not filtered, no policy is about them" if one.system_calls is None else f"{one.system_calls} permitted"
    yield f"  system calls: {calls}; new processes: {'permitted' if one.spawn else 'denied'}"
    unfiltered = one.system_calls is None and "systemCall" not in one.incomplete
    if not one.incomplete:
        yield f"  as Cedar: every action{' but systemCall' if unfiltered else ''}"
        return
    yield f"  as Cedar: {', '.join(one.complete) or 'none'}"
    yield f"  less than Cedar: {', '.join(one.incomplete)}"


def _policy(one: PolicyReport) -> tuple[str, ...]:
    return one.id, one.effect, one.outcome, ", ".join(one.classes) or "-", f"{one.file}:{one.line}"


def _left(stays: Sequence[Stays]) -> Iterator[str]:
    """Each clause once, with the actions that it is left out of."""
    found: dict[tuple[str, ...], list[Stays]] = {}
    for each in stays:
        key = (f"{each.file}:{each.line}", each.policy, each.clause, each.reason, ", ".join(each.classes))
        found.setdefault(key, []).append(each)
    if found:
        yield ""
        yield "stays behind:"
    for (place, policy, clause, reason, classes), alike in found.items():
        yield f"  {place}: {policy}: {clause}"
        yield f"    {reason}"
        yield f"    class {classes}: {_effects(alike)}"


def _effects(alike: Sequence[Stays]) -> str:
    """The effects, said once for the actions that have the same."""
    by_words: dict[str, list[str]] = {}
    for each in sorted(alike, key=lambda one: list(RESOURCE_OF).index(one.action)):
        by_words.setdefault(each.effect, []).append(each.action)
    return "; ".join(f"{words} {', '.join(actions)}" for words, actions in by_words.items())


def _lints(lints: Sequence[Lint]) -> Iterator[str]:
    if lints:
        yield ""
        yield "to mend:"
    yield from (f"  {each}" for each in lints)


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _count(number: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{number} {word if number == 1 else plural}"
