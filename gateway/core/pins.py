"""Tool pins: the definition of a tool that people approved, and whether what its server lists now is still that.

A server that changes what a tool says of itself after it was approved (a rug-pull) changes what models do with
it. So a changed definition puts the tool in quarantine, unlisted and uncallable, until somebody approves it.
Decides; doesn't store, list or alert.
"""

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from gateway.core.audit.canonical import canonical, digest
from gateway.core.registry import Registry, Tool

PINNED = ("name", "description", "inputSchema", "outputSchema", "annotations")
"""What a pin covers of a listed tool."""


class Definition(Struct, frozen=True):
    """What a server says of a tool, as far as a pin covers it."""

    digest: str
    """``sha256:<hex>`` of the canonical JSON (RFC 8785)."""
    document: bytes
    """The canonical JSON itself, for people to compare."""


class Pin(Struct, frozen=True):
    """What is known of one tool's definitions. Times are Unix seconds."""

    approved: Definition | None = None
    approved_at: int = 0
    found: Definition | None = None
    """Another definition that its server listed since: it waits for approval."""
    found_at: int = 0


UNSEEN = Pin()


def definition_of(listed: Mapping[str, Any]) -> Definition:
    """The definition within one entry of a ``tools/list`` result."""
    covered = {name: listed[name] for name in PINNED if name in listed}
    return Definition(f"sha256:{digest(covered).value}", canonical(covered))


def approved_digest(tool: Tool, pin: Pin) -> str | None:
    """The digest in force: the registry's pin, or else the stored one; None while nothing is approved."""
    return tool.pin or (None if pin.approved is None else pin.approved.digest)


def quarantined(tool: Tool, pin: Pin, *, first_use: bool) -> bool:
    """Whether the tool may be neither listed nor called.

    ``first_use``: a tool that was never listed may be called, and its first definition is the approved one.
    A definition that waits keeps the tool in quarantine even if its server goes back to the approved one.
    """
    approved = approved_digest(tool, pin)
    if approved is None and not first_use:
        return True
    return pin.found is not None and pin.found.digest != approved


Approved = Mapping[tuple[str, str], Definition]
"""Approved definitions by server and tool."""


def schema_of(definition: Definition) -> Mapping[str, Any] | None:
    """The JSON Schema of the tool's arguments in an approved definition; None where it has none."""
    found = json.loads(definition.document)
    schema = found.get("inputSchema") if isinstance(found, dict) else None
    return schema if isinstance(schema, dict) else None


def typed_by(registry: Registry, approved: Approved) -> Registry:
    """The registry with the argument schemas of approved definitions, for tools whose own it doesn't hold.

    A definition that isn't the one which the registry pins says nothing.
    """
    servers = dict(registry.servers)
    for (server, name), definition in approved.items():
        tool = registry.tool(server, name)
        if tool is None or tool.input_schema is not None or tool.pin not in (None, definition.digest):
            continue
        typed = structs.replace(tool, approved_schema=schema_of(definition))
        servers[server] = structs.replace(servers[server], tools={**servers[server].tools, name: typed})
    return structs.replace(registry, servers=servers)
