"""Provenance as text for people: a chain as a tree, search results as a table.

Every text of a record may be a stranger's: nothing unprintable reaches the terminal. Colours are ANSI;
the caller strips them where the output is no terminal.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import click

from gateway.cli.near import Near
from gateway.core.audit import (
    AdminRecord,
    DecisionRecord,
    KernelRecord,
    Node,
    OutcomeRecord,
    PolicyFacts,
    RefusedRecord,
)
from gateway.core.audit.tree import HopRecord
from gateway.store.query import Found

_COLOURS = {"permit": "green", "ask": "yellow", "deny": "red", "refused": "red", "would_deny": "yellow"}
_HEADINGS = ("TIME", "VERDICT", "WHO", "ACTION", "RESOURCE", "WHY", "OUTCOME", "DECISION")
_DEEDS = ("TIME", "VERDICT", "WHO", "ACTION", "REQUEST", "WHY", "ID")
_VALUE_CHARS = 120
NOTHING: Mapping[str, Near] = {}


def printable(text: str) -> str:
    """``text`` with everything that a terminal might obey written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def moment(at: int) -> str:
    """Unix milliseconds as ISO 8601 UTC with milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tree(roots: Sequence[Node], marked: str | None = None, told: Mapping[str, Near] = NOTHING) -> Iterator[str]:
    """Lines of the trees of one chain or trace.

    ``marked`` is the decision id that was asked for, ``told`` what came near by the ids of denials.
    """
    nodes = list(_walk(roots))
    yield _heading(nodes)
    for position, root in enumerate(roots):
        yield from _branch(root, "", position == len(roots) - 1, marked, told)


def table(found: Iterable[Found]) -> Iterator[str]:
    """Lines of a table, newest first as given; nothing for no rows."""
    rows = [_row(one) for one in found]
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for row in (_HEADINGS, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield line if row is _HEADINGS else _coloured(line, row[1])


def administration(found: Iterable[AdminRecord]) -> Iterator[str]:
    """Lines of a table of who administered, newest first as given; nothing for no rows."""
    rows = [_deed(record) for record in found]
    widths = [max(map(len, column)) for column in zip(_DEEDS, *rows, strict=True)]
    for row in (_DEEDS, *rows) if rows else ():
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def verdict(record: HopRecord) -> str:
    """``permit``, ``ask``, ``deny``, ``would_deny`` or ``refused``."""
    return "refused" if isinstance(record, RefusedRecord) else record.verdict


def _heading(nodes: Sequence[Node]) -> str:
    records = [node.record for node in nodes]
    first = min(record.at for record in records)
    last = max(node.record.at + (node.outcome.duration_ms if node.outcome else 0) for node in nodes)
    txns = sorted({txn for record in records if (txn := _txn(record))})
    people = sorted({record.user for record in records if not isinstance(record, KernelRecord) and record.user})
    parts = [
        f"chain {', '.join(txns)}" if txns else "no chain",
        f"for {', '.join(people)}" if people else "for no user",
        f"{len(nodes)} hop{'' if len(nodes) == 1 else 's'}",
        moment(first),
        f"{last - first} ms",
    ]
    return click.style(printable(" · ".join(parts)), bold=True)


def _branch(node: Node, indent: str, last: bool, marked: str | None, told: Mapping[str, Near]) -> Iterator[str]:
    title = _title(node) + ("  ◀" if node.record.hop == marked else "")
    yield f"{indent}{'└─' if last else '├─'} {title}"
    below = indent + ("   " if last else "│  ")
    bar = "│  " if node.children else "   "
    for line in (*_details(node), *_near(told.get(node.record.hop))):
        yield f"{below}{bar}{click.style(line, dim=True)}"
    for position, child in enumerate(node.children):
        yield from _branch(child, below, position == len(node.children) - 1, marked, told)


def _title(node: Node) -> str:
    record = node.record
    word = verdict(record)
    target = printable(str(record.resource)) if record.resource else printable(_place(record) or "no route")
    action = printable(record.action or _method(record))
    return " ".join(filter(None, (_coloured(word, word), _who(record), "→", target, action)))


def _details(node: Node) -> Iterator[str]:
    record = node.record
    yield f"{moment(record.at)} · {_ending(node.outcome, record)} · decision {printable(record.hop)}"
    if verdict(record) != "permit":
        yield _why(record) + (f": {printable(record.detail)}" if record.detail else "")
    if node.detached:
        yield f"continues a token of a hop that is not in {_vouched(record)}"
    if isinstance(record, DecisionRecord) and record.minted and record.minted.gateway and not node.children:
        yield f"goes on at {printable(record.minted.gateway)}, whose log is not read here or has nothing of it"
    if isinstance(record, DecisionRecord):
        if record.chain.possible_parents:
            txns = printable(", ".join(record.chain.possible_parents))
            yield f"begun while working at depth {record.chain.live_depth}: may hide chain {txns}"
        if record.approval is not None:
            people = printable(", ".join(uid.id for uid in record.approval.approvers))
            yield f"approved by {people} for {printable(', '.join(record.approval.groups))}: {record.approval.id}"
        if record.groups:
            yield f"may be lifted by {printable(', '.join(record.groups))}"
        for policy in record.policies:
            yield from _policy(policy)


def _vouched(record: HopRecord) -> str:
    via = record.chain.via if isinstance(record, DecisionRecord) else None
    return "this log" if via is None else f"what was read; {printable(via)} vouched for it"


def _policy(policy: PolicyFacts) -> Iterator[str]:
    yield f"{policy.effect} by {printable(policy.id)} ({policy.tier}, {printable(policy.file)})"
    for found in policy.matched:
        value = printable(bytes(found.value).decode())
        shown = value if len(value) <= _VALUE_CHARS else f"{value[: _VALUE_CHARS - 1]}…"
        yield f"  {printable(found.path)} = {shown}"


def _near(found: Near | None) -> Iterator[str]:
    if found is not None:
        yield from map(printable, found.near_misses)
        if found.unknown:
            yield f"which permits came near is not known: {printable(found.unknown)}"


def _ending(outcome: OutcomeRecord | None, record: HopRecord) -> str:
    if outcome is None:
        if isinstance(record, KernelRecord):
            return f"generation {record.generation} on {printable(record.node)}"
        return "no outcome recorded" if verdict(record) == "permit" else "not forwarded"
    ended = "ok" if outcome.ok else outcome.reason
    detail = f" ({printable(outcome.detail)})" if outcome.detail else ""
    return f"{ended} {outcome.status} in {outcome.duration_ms} ms{detail}"


def _who(record: HopRecord) -> str:
    agent = record.agent
    if isinstance(record, KernelRecord):
        return printable(f"{agent.name if agent else record.agent_class or 'unknown'} on {record.node}")
    if agent is None:
        return printable(record.user or "unknown")
    proven = (
        f" via {agent.forwarder.spiffe_id}" if agent.forwarder else " by JWT-SVID" if agent.proof == "jwt-svid" else ""
    )
    if agent.name is None:
        return printable(agent.spiffe_id + proven)
    accountable = ", ".join(filter(None, (agent.owner_name or agent.owner, agent.team)))
    speaking = "" if agent.gateway is None else f" by {agent.gateway}"
    return printable((f"{agent.name} ({accountable})" if accountable else agent.name) + proven + speaking)


def _why(record: HopRecord) -> str:
    if isinstance(record, KernelRecord):
        by = f" ({', '.join(record.policies)})" if record.policies else ""
        return printable(f"{record.reason}{by}")
    if isinstance(record, DecisionRecord) and record.policies and record.verdict == "permit":
        return printable(", ".join(policy.id for policy in record.policies))
    policies = ", ".join(policy.id for policy in record.policies) if isinstance(record, DecisionRecord) else ""
    return printable(f"{record.reason} ({policies})" if policies else record.reason)


def _row(one: Found) -> tuple[str, ...]:
    record, outcome = one.record, one.outcome
    ended = "" if outcome is None else f"{'ok' if outcome.ok else outcome.reason} {outcome.status}"
    return (
        moment(record.at),
        verdict(record),
        _who(record),
        printable(record.action or _method(record) or "-"),
        printable(str(record.resource) if record.resource else _place(record) or "-"),
        _why(record),
        ended or "-",
        printable(record.hop),
    )


def _txn(record: HopRecord) -> str | None:
    if isinstance(record, KernelRecord):
        return None
    return record.chain.txn if isinstance(record, DecisionRecord) else record.txn


def _place(record: HopRecord) -> str | None:
    return f"node {record.node}" if isinstance(record, KernelRecord) else record.route


def _method(record: HopRecord) -> str:
    return "" if isinstance(record, KernelRecord) else record.method or ""


def _walk(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _walk(node.children)


def _coloured(text: str, word: str) -> str:
    return click.style(text, fg=_COLOURS.get(word))


def _deed(record: AdminRecord) -> tuple[str, ...]:
    by = f" by {', '.join(record.policies)}" if record.policies else ""
    cells = (
        moment(record.at),
        record.verdict,
        f"{record.caller.id} ({record.caller.via})",
        record.action or "-",
        f"{record.method} {record.path}",
        f"{record.reason}{by}" + (f": {record.detail}" if record.detail and not by else ""),
        record.id,
    )
    return tuple(map(printable, cells))
