"""``hopgate policy explain``: what the gateway decides on a request, and why; the function is that of the data path."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.cli.options import config_file
from gateway.cli.policy.bundles import (
    DENIED,
    Format,
    PolicyCommandError,
    compiled_or_exit,
    form_option,
    loaded,
    say,
    show,
)  # fmt: skip
from gateway.core.audit import DecisionRecord
from gateway.core.errors import StoreError
from gateway.core.model import Ask, Decision, Deny, Permit
from gateway.core.policy.decide import decide
from gateway.core.policy.described import Described, DescriptionError, hop_of
from gateway.core.policy.explain import near_misses
from gateway.core.policy.retold import retold, unknown_to
from gateway.publish import Published
from gateway.store.query import AuditReader

_WORDS = {Permit: "permit", Ask: "ask", Deny: "deny"}
_LISTS = ("chain", "scopes", "roles", "groups")


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """One decision, ready to be shown."""

    verdict: str
    reason: str
    policies: tuple[Any, ...]
    detail: str = ""
    groups: tuple[str, ...] = ()
    near_misses: tuple[str, ...] = ()
    bundle: str = ""


@click.command()
@config_file("config", required=True)
@form_option
@click.option("--policies", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Another folder.")
@click.option("--request", "request_file", type=click.File("rb"), help="The request as JSON; - reads standard input.")
@click.option("--decision", metavar="ID", help="A recorded decision in place of a described request.")
@click.option("--agent", help="Registered name of the agent that calls.")
@click.option("--user", metavar="IDP|SUBJECT", help="The person it calls for.")
@click.option("--action", help="Cedar action, e.g. invokeTool.")
@click.option("--resource", help='ledger/pay, a server, an agent, or Type::"id".')
@click.option("--arguments", metavar="JSON", help="The call's arguments.")
@click.option("--chain", multiple=True, metavar="AGENT", help="Agents before and with the caller, in order.")
@click.option("--scope", "scopes", multiple=True, help="A scope of the chain.")
@click.option("--role", "roles", multiple=True, help="A role in the person's token.")
@click.option("--group", "groups", multiple=True, help="A group in the person's token.")
@click.option("--purpose", help="The chain's purpose.")
def explain(
    config: Path, form: Format, policies: Path | None, request_file: Any, decision: str | None, **given: Any
) -> None:
    """Say what is decided on a request, by which policies and values, and which permits came near."""
    base = loaded(config)
    published = compiled_or_exit(base, policies)
    if decision is not None:
        _explain_recorded(decision, base.settings.store.url, published, form)
        return
    try:
        described = _described(request_file, given)
        snapshot = published.snapshot
        hop = hop_of(described, snapshot.registry, snapshot.routes, snapshot.bundle, int(time.time() * 1000))
    except (DescriptionError, msgspec.DecodeError) as error:
        raise PolicyCommandError(str(error)) from None
    told = _tell(decide(hop, snapshot.bundle, snapshot.registry, snapshot.generation), published)
    if form == "json":
        show(told)
    else:
        for line in _lines(told):
            say(line)
    sys.exit(0 if told.verdict == "permit" else DENIED)


def _described(request_file: Any, given: dict[str, Any]) -> Described:
    if request_file is not None:
        return msgspec.json.decode(request_file.read(), type=Described)
    fields = {name: value for name, value in given.items() if value not in (None, ())}
    if "arguments" in fields:
        fields["arguments"] = msgspec.json.decode(fields["arguments"])
    if "action" not in fields or "resource" not in fields:
        raise click.UsageError("give --action and --resource, --request FILE, or --decision ID")
    return msgspec.convert(fields, Described)


def _tell(found: Decision, published: Published) -> Told:
    snapshot = published.snapshot
    if not isinstance(found, Deny):
        groups = found.groups if isinstance(found, Ask) else ()
        reason = "permitted" if isinstance(found, Permit) else "approval_required"
        return Told(_WORDS[type(found)], reason, found.policies, groups=groups, bundle=found.bundle)
    misses = () if found.policies else near_misses(found.hop, snapshot.bundle, snapshot.registry)
    return Told("deny", str(found.reason), found.policies, found.detail, near_misses=misses, bundle=found.bundle)


def _explain_recorded(decision: str, store: str, published: Published, form: Format) -> None:
    record = _record(decision, store)
    snapshot = published.snapshot
    was = Told(record.verdict, str(record.reason), record.policies, record.detail, record.groups, bundle=record.bundle)
    story = retold(record, snapshot.registry, snapshot.routes)
    unknown = unknown_to(snapshot.bundle, story)
    now = None
    if not unknown:
        now = _tell(decide(story.hop, snapshot.bundle, snapshot.registry, snapshot.generation), published)
    if form == "json":
        show({"recorded": was, "now": now, "not_exact": unknown})
    else:
        for line in _lines(was):
            say(line)
        say("by the policies and the registry as they are now:" if now else "can't be decided again exactly:")
        for line in _lines(now) if now else unknown:
            say(f"  {line}")
    sys.exit(0 if was.verdict == "permit" else DENIED)


def _record(decision: str, store: str) -> DecisionRecord:
    try:
        found = AuditReader(store).chain(decision)
    except (StoreError, ValueError) as error:
        raise PolicyCommandError(error.detail if isinstance(error, StoreError) else str(error)) from None
    for record in found:
        if isinstance(record, DecisionRecord) and record.hop == decision:
            return record
    raise PolicyCommandError(f"no decision {decision} is recorded; see hopgate audit query")


def _lines(told: Told) -> Iterator[str]:
    yield f"{told.verdict}: {told.detail or told.reason}"
    if told.groups:
        yield f"  asks people of {', '.join(told.groups)}"
    for policy in told.policies:
        yield f"  {policy.effect} `{policy.id}` ({policy.tier}, {policy.file})"
        for match in policy.matched:
            value = match.value if isinstance(match.value, msgspec.Raw) else msgspec.json.encode(match.value)
            yield f"    {match.path} = {bytes(value).decode()}"
    for line in told.near_misses:
        yield f"  {line}"
