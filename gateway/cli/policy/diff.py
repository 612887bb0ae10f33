"""``hopgate policy diff A B``: policies that differ, of folders or versions, and recorded decisions that would."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from gateway.cli.audit import Moment
from gateway.cli.options import config_file
from gateway.cli.policy.bundles import (
    Format,
    PolicyCommandError,
    compiled_or_exit,
    form_option,
    loaded,
    refuse,
    say,
    show,
    store_path,
)  # fmt: skip
from gateway.cli.policy.versions import version_of
from gateway.config.load import Loaded
from gateway.config.problems import Problems
from gateway.core.audit import DecisionRecord
from gateway.core.errors import StoreError
from gateway.core.model import Ask, Decision, Permit
from gateway.core.policy.changes import Change, changes
from gateway.core.policy.decide import decide
from gateway.core.policy.retold import retold, unknown_to
from gateway.core.snapshot import Snapshot
from gateway.core.versions import APART, file_changes, folder_of, policy_changes
from gateway.publish import compile_loaded, of_version
from gateway.store.query import AuditReader, Filters

EXAMPLES = 5


class Effects(Struct, frozen=True):
    """What the change does to recorded decisions, under the registry as it is now."""

    decisions: int
    differ: dict[str, int]
    """By ``permit -> deny`` and its like."""
    examples: tuple[dict[str, Any], ...]
    not_exact: int
    """Decisions that a policy could have based on what isn't recorded: nothing is said of them."""


@click.command()
@config_file("config", required=True)
@form_option
@click.option("--since", type=Moment(), help="Also compare decisions recorded since then: 7d, or ISO 8601.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=10_000, show_default=True, help="Most decisions.")
@click.argument("a")
@click.argument("b")
def diff(config: Path, form: Format, since: int | None, limit: int, a: str, b: str) -> None:
    """Show what changes from policies A to B: each a folder, or the number of a version.

    Two versions are compared as they are written, without the registry, unless --since asks what they decide.
    """
    if a.isdecimal() and b.isdecimal() and since is None:
        store = store_path(config)
        one, other = (version_of(store, int(name)).files for name in (a, b))
        found, effects = policy_changes(one, other), None
        rest = tuple(each for each in file_changes(one, other) if not _of_tier(each.path))
    else:
        base = loaded(config)
        before, after = (_snapshot(base, name) for name in (a, b))
        found, rest = changes(before.bundle.policies, after.bundle.policies), ()
        effects = None if since is None else _effects(base.settings.store.url, before, after, since, limit)
    if form == "json":
        show({"changes": found, "files": rest, "decisions": effects})
        return
    for change in found:
        for line in _told(change):
            say(line)
    for file in rest:
        say(f"{file.kind} {file.path}")
        for line in file.diff.splitlines()[2:]:
            say(f"  {line}")
    for line in () if effects is None else _sums(effects):
        say(line)


def _snapshot(base: Loaded, name: str) -> Snapshot:
    if not name.isdecimal():
        folder = Path(name)
        if not folder.is_dir():
            raise PolicyCommandError(f"{name} is no folder, and no number of a version")
        return compiled_or_exit(base, folder).snapshot
    version = version_of(base.settings.store.path, int(name))
    found = compile_loaded(of_version(base, version), 0, None, version.facts.number)
    if isinstance(found, Problems):
        refuse(found.errors)
    return found.snapshot


def _of_tier(path: str) -> bool:
    """Whether the policies of the file are told one by one."""
    return path.endswith(".cedar") and folder_of(path) not in APART


def _effects(store: str, before: Snapshot, after: Snapshot, since: int, limit: int) -> Effects:
    differ: dict[str, int] = {}
    examples: list[dict[str, Any]] = []
    exact = inexact = 0
    for record in _decisions(store, since, limit):
        story = retold(record, after.registry, after.routes)
        if unknown_to(before.bundle, story) or unknown_to(after.bundle, story):
            inexact += 1
            continue
        exact += 1
        was, now = (decide(story.hop, each.bundle, each.registry, 0) for each in (before, after))
        if _word(was) == _word(now):
            continue
        kind = f"{_word(was)} -> {_word(now)}"
        differ[kind] = differ.get(kind, 0) + 1
        if differ[kind] <= EXAMPLES:
            by = [policy.id for policy in (now.policies or was.policies)]
            examples.append({"decision": record.hop, "change": kind, "call": _call(record), "policies": by})
    return Effects(exact, differ, tuple(examples), inexact)


def _decisions(store: str, since: int, limit: int) -> Iterator[DecisionRecord]:
    """The newest decisions, a page at a time."""
    try:
        reader, mark = AuditReader(store), None
        while limit > 0:
            page = reader.query(Filters(since=since, limit=min(limit, 1000), before=mark))
            yield from (each.record for each in page.found if isinstance(each.record, DecisionRecord))
            limit, mark = limit - len(page.found), page.next
            if mark is None:
                return
    except (StoreError, ValueError) as error:
        raise PolicyCommandError(error.detail if isinstance(error, StoreError) else str(error)) from None


def _word(found: Decision) -> str:
    if isinstance(found, Permit):
        return "permit"
    return f"ask {', '.join(found.groups)}" if isinstance(found, Ask) else "deny"


def _call(record: DecisionRecord) -> str:
    who = (record.agent.name or record.agent.spiffe_id) if record.agent is not None else record.user
    return f"{who} {record.action} {record.resource}"


def _told(change: Change) -> Iterator[str]:
    known = change.after or change.before
    where = "" if known is None else f" {known.effect} {known.file}:{known.line}"
    yield f"{change.kind} `{change.id}`{where}"
    if change.before is not None and change.after is not None:
        one, other = change.before, change.after
        if one.file != other.file:
            yield f"  moved from {one.file}"
        lines = difflib.unified_diff(one.text.splitlines(), other.text.splitlines(), lineterm="", n=1)
        yield from (f"  {line}" for line in list(lines)[2:])


def _sums(effects: Effects) -> Iterator[str]:
    changed = sum(effects.differ.values())
    yield f"{changed} of {effects.decisions} recorded decisions would differ, under the registry as it is now"
    for kind, count in sorted(effects.differ.items()):
        yield f"  {kind}: {count}"
        for each in effects.examples:
            if each["change"] == kind:
                yield f"    {each['decision']}  {each['call']}  {', '.join(each['policies']) or 'no policy'}"
    if effects.not_exact:
        yield f"{effects.not_exact} more can't be decided again exactly: policies may read what isn't recorded"
