"""``hopgate policy publish`` and ``rollback``: the next version of the policies, by the admin API of a running gateway.

Whether it may come into force, and whether its author may say so, is the gateway's to decide.
"""

import getpass
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from gateway.cli.audit import Moment
from gateway.cli.policy.bundles import Format, PolicyCommandError, folder_argument, form_option, say, show
from gateway.cli.policy.reaching import Where, reaching, request, where_of
from gateway.cli.policy.staged import would
from gateway.config.policy_files import read_companions, read_policies
from gateway.core.versions import within

_only = click.option("--only", "folder", default="", metavar="FOLDER", help="Change only this one: teams/finance.")
_comment = click.option("--comment", help="Why; kept with the version.")
_on = click.option("--on", type=click.IntRange(1), help="Refuse unless this version is in force. By default any.")
_dry = click.option("--dry-run", "dry", is_flag=True, help="Say what would change, and change nothing.")
_since = click.option("--since", type=Moment(), help="In a dry run: also of decisions recorded since then, 7d.")


@click.command()
@reaching
@form_option
@_only
@_comment
@_on
@_dry
@_since
@folder_argument("path", required=True)
def publish(path: Path, form: Format, **given: Any) -> None:
    """Publish the policies below PATH, with their tests, as the next version.

    With --only, PATH is still the top of all policies, and what lies elsewhere stays as it is in force.
    """
    where = where_of(given)
    files = {name: text for name, text in _files(path).items() if within(name, given["folder"])}
    body = {"files": files, "folder": given["folder"]}
    _send(where, "/versions", body, given, form)


@click.command()
@reaching
@form_option
@_only
@_comment
@_on
@_dry
@_since
@click.argument("version", type=click.IntRange(1))
def rollback(version: int, form: Format, **given: Any) -> None:
    """Publish anew what VERSION said, under a new number."""
    where = where_of(given)
    _send(where, "/rollback", {"version": version, "folder": given["folder"]}, given, form)


def _send(where: Where, target: str, body: dict[str, Any], given: Mapping[str, Any], form: Format) -> None:
    if given["since"] is not None and not given["dry"]:
        raise click.UsageError("--since is for --dry-run")
    current = request(where, "GET", "")["version"]
    if given["on"] is not None and current["number"] != given["on"]:
        raise PolicyCommandError(f"version {current['number']} is in force, by {current['by']}; look at it first")
    body["comment"] = given["comment"] or f"by {getpass.getuser()}"
    query = {"dry_run": "true"} if given["dry"] else {}
    query |= {} if given["since"] is None else {"since": given["since"]}
    found = request(where, "POST", target, body, query, current["digest"])
    if form == "json":
        show(found)
        return
    for line in _told(found):
        say(line)


def _files(path: Path) -> dict[str, str]:
    sources, problems = read_policies(path)
    companions, more = read_companions(path)
    errors = [problem for problem in (*problems, *more) if problem.severity == "error"]
    if errors:
        raise PolicyCommandError("\n".join(map(str, errors)))
    return dict(companions) | {source.path: source.text for source in sources}


def _told(found: Mapping[str, Any]) -> Iterator[str]:
    number = found["version"]["number"]
    changed = ", ".join(found["folders"]) or "nothing"
    tests = found["tests"]["run"]
    state = f"version {number} is in force" if found["in_force"] else f"version {number} could come into force"
    yield f"{state}: changes {changed}; {tests} tests passed"
    for each in found["policies"]:
        known = each["after"] or each["before"]
        yield f"  {each['kind']} {known['effect']} `{each['id']}` {known['file']}:{known['line']}"
    for draft in found["staged"]:
        yield f"  staged, not enforced: {draft}"
    for warning in found["warnings"]:
        yield f"  {warning}"
    decisions = found["decisions"]
    if decisions is not None:
        verdicts = ", ".join(would(decisions["changes"])) or "would change nothing"
        yield f"{verdicts} of {decisions['decisions']:,} recorded calls"
        for why, count in decisions["undecidable"].items():
            yield f"  not decidable: {count:,} ({why})"
        for one in decisions["examples"]:
            who = " for ".join(filter(None, (one["agent"], one["user"])))
            what = f"{one['action']} {one['resource']}"
            yield f"  {one['change']}  {who}  {what}  {', '.join(one['policies']) or one['reason']}  {one['decision']}"
