"""Tool pins: the definition of a tool that people approved, and whether what its server lists now is still that.

A server that changes what a tool says of itself after it was approved (a rug-pull) changes what models do with
it. So a changed definition puts the tool in quarantine, unlisted and uncallable, until somebody approves it.
Decides; doesn't store, list or alert.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.core.audit.canonical import canonical, digest
from gateway.core.registry import Tool

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
