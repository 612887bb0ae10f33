"""What the gateway recorded of a scene, and an operator's hand: its own ``hopgate`` commands."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.site import REPOSITORY, Site

COMMAND_SECONDS = 30


class EvidenceError(Exception):
    """A ``hopgate`` command failed."""


@dataclass(frozen=True)
class RecordedHop:
    """One decided or refused hop of the record."""

    reason: str
    agent: str
    """Empty for a person's own client."""
    target: str
    """The Cedar action and resource."""
    txn: str
    depth: int
    policies: tuple[str, ...]


def hopgate() -> list[str]:
    """The ``hopgate`` command of this environment."""
    script = Path(sys.executable).with_name("hopgate")
    return [str(script)] if script.is_file() else [sys.executable, "-c", "from gateway.cli import main; main()"]


def hops_of(site: Site, trace_id: str) -> tuple[RecordedHop, ...]:
    """The recorded hops of one trace, oldest first.

    Raises:
        EvidenceError: the query failed.
    """
    found = json.loads(_audit(site, "query", "--trace", trace_id, "--limit", "200", "--format", "json"))
    hops = [entry["record"] for entry in found["found"]]
    return tuple(_hop(record) for record in sorted(hops, key=lambda record: record["at"]))


def chain_tree(site: Site, txn: str) -> str:
    """``hopgate audit show`` of one chain.

    Raises:
        EvidenceError: the command failed.
    """
    return _audit(site, "show", txn)


def verify(site: Site) -> None:
    """Check the whole log with ``hopgate audit verify``.

    Raises:
        EvidenceError: it found something wrong.
    """
    _audit(site, "verify")


def of_agent(site: Site, agent: str) -> str:
    """``hopgate audit query --agent``: what is recorded of one agent, calls and kernels' denials.

    Raises:
        EvidenceError: the query failed.
    """
    return _audit(site, "query", "--agent", agent, "--limit", "200")


def kernel_denials(site: Site, agent: str) -> tuple[dict[str, Any], ...]:
    """Records of what kernels denied an agent.

    Raises:
        EvidenceError: the query failed.
    """
    found = json.loads(_audit(site, "query", "--agent", agent, "--limit", "200", "--format", "json"))
    return tuple(entry["record"] for entry in found["found"] if entry["record"]["reason"] == "kernel_denied")


def kernel_key(site: Site) -> str:
    """``hopgate kernel key``: the public keys that loaders pin.

    Raises:
        EvidenceError: the command failed.
    """
    return _run(site, "kernel", "key")


def revoke(site: Site, agent: str, reason: str) -> None:
    """Revoke an agent as an operator on the gateway's host does: ``hopgate revoke``.

    Raises:
        EvidenceError: the command failed.
    """
    _run(site, "revoke", "--agent", agent, "--reason", reason)


def lift(site: Site) -> None:
    """Lift every revocation that is in force.

    Raises:
        EvidenceError: a command failed.
    """
    for found in json.loads(_run(site, "revocations", "list", "--format", "json")):
        if found["state"] == "in_force":
            _run(site, "revocations", "lift", found["id"], "--reason", "the demo goes on")


def summary(hops: Sequence[RecordedHop], reason: str) -> str | None:
    """What the record says of a scene that ended with ``reason``; None if it doesn't bear that out."""
    refused = [hop for hop in hops if hop.reason != "permitted"]
    if reason == "permitted":
        depths = sorted({hop.depth for hop in hops})
        return None if refused or not hops else f"{len(hops)} hops, depth {depths[0]} to {depths[-1]}"
    witness = next((hop for hop in refused if hop.reason == reason), None)
    if witness is None:
        return None
    by = f" by {', '.join(witness.policies)}" if witness.policies else ""
    return f"{witness.agent} → {witness.target}{by}"


def _audit(site: Site, *arguments: str) -> str:
    return _run(site, "audit", *arguments)


def _run(site: Site, *arguments: str) -> str:
    command = [*hopgate(), *arguments, "--config", str(site.config)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        name = " ".join(arguments[:2])
        raise EvidenceError(f"hopgate {name}: {lines[-1] if lines else 'failed without a word'}")
    return done.stdout


def _hop(record: dict[str, Any]) -> RecordedHop:
    chain, resource = record.get("chain") or {}, record.get("resource") or {}
    return RecordedHop(
        reason=record["reason"],
        agent=(record.get("agent") or {}).get("name") or "",
        target=f"{record.get('action') or record.get('method') or '?'} {resource.get('id', '')}".strip(),
        txn=chain.get("txn") or record.get("txn") or "",
        depth=chain.get("depth", 0),
        policies=tuple(policy["id"] for policy in record.get("policies") or ()),
    )
