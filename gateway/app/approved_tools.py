"""Follows approvals of tool definitions that policies take argument types from: the configuration is read again then.

Whether it can be used with the other types is for the reload to say; the last good generation stays otherwise.
"""

import asyncio
from collections.abc import Callable

from gateway.core.errors import StoreError
from gateway.core.pins import UNSEEN, approved_digest, schema_of
from gateway.core.ports import ToolPins
from gateway.core.registry import Tool
from gateway.core.snapshot import Snapshot

LOOK_SECONDS = 1.0


async def follow_approvals(snapshot: Callable[[], Snapshot], pins: ToolPins, reread: asyncio.Event) -> None:
    """Set ``reread`` whenever another definition was approved than the one that types come from now."""
    tried = frozenset[str]()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            newer = await _newer(snapshot(), pins)
        except StoreError:
            # Hops that call such tools ask the same store, and are refused while it can't be asked.
            continue
        if newer - tried:
            reread.set()
        tried = newer


async def _newer(snapshot: Snapshot, pins: ToolPins) -> frozenset[str]:
    """Digests of approved definitions whose arguments policies read, and not as they are now."""
    found: set[str] = set()
    for tool in _typed_by_definition(snapshot):
        pin = (await pins.of(tool.server)).get(tool.name, UNSEEN)
        definition = pin.approved
        if definition is None or definition.digest != approved_digest(tool, pin):
            continue
        if schema_of(definition) != tool.approved_schema:
            found.add(definition.digest)
    return frozenset(found)


def _typed_by_definition(snapshot: Snapshot) -> list[Tool]:
    read = [(server, tool) for server, tools in snapshot.bundle.arguments.items() for tool in tools]
    tools = [snapshot.registry.tool(server, name) for server, name in read]
    return [tool for tool in tools if tool is not None and tool.input_schema is None]
