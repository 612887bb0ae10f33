"""Definitions of tools, approved and waiting. Fulfils ``core.ports.ToolPins``; decides nothing about them.

What is read serves for a second, since every call asks; what this process wrote is read anew.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import RowMapping, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.pins import Definition, Pin
from gateway.store.shared_question import SharedQuestion
from gateway.store.state import transaction
from gateway.store.tables import tool_pins

FRESH_SECONDS = 1.0


class SqlToolPins:
    """Pins in the state database. ``clock`` gives Unix seconds."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self._read: dict[str, tuple[float, Mapping[str, Pin]]] = {}
        """Registered servers only, so bounded by the registry."""
        self._questions: dict[str, SharedQuestion[Mapping[str, Pin]]] = {}
        """Likewise."""

    async def of(self, server: str) -> Mapping[str, Pin]:
        """What is known of the server's tools, by name, at most a second old.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        at, known = self._read.get(server, (float("-inf"), {}))
        # Also when the clock was set back.
        if 0 <= self._clock() - at < FRESH_SECONDS:
            return known
        if server not in self._questions:
            self._questions[server] = SharedQuestion(partial(self._ask, server))
        return await self._questions[server].answer()

    async def _ask(self, server: str) -> Mapping[str, Pin]:
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(select(tool_pins).where(tool_pins.c.server == server))).mappings().all()
        found = {row["tool"]: _pin(row) for row in rows}
        self._read[server] = (self._clock(), found)
        return found

    async def keep_first(self, server: str, tool: str, definition: Definition) -> None:
        """Approve the tool's first definition; where one is approved already, nothing changes.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        async with transaction(self._engine) as connection:
            await _touch(connection, server, tool)
            first = _where(server, tool).where(tool_pins.c.approved_digest.is_(None))
            await connection.execute(first.values(self._approved(definition)))
        self._read.pop(server, None)

    async def approve(self, server: str, tool: str, definition: Definition) -> None:
        """Make it the approved definition; none waits any more.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        nothing = {"found_digest": None, "found_document": None, "found_at": 0}
        async with transaction(self._engine) as connection:
            await _touch(connection, server, tool)
            await connection.execute(_where(server, tool).values({**self._approved(definition), **nothing}))
        self._read.pop(server, None)

    async def report(self, server: str, tool: str, definition: Definition) -> bool:
        """Remember a definition that isn't the approved one. Whether it is news: it wasn't waiting already.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        found = {
            "found_digest": definition.digest,
            "found_document": definition.document,
            "found_at": int(self._clock()),
        }
        async with transaction(self._engine) as connection:
            await _touch(connection, server, tool)
            news = _where(server, tool).where(tool_pins.c.found_digest.is_distinct_from(definition.digest))
            changed = await connection.execute(news.values(found))
        self._read.pop(server, None)
        return bool(changed.rowcount)

    def _approved(self, definition: Definition) -> dict[str, Any]:
        return {
            "approved_digest": definition.digest,
            "approved_document": definition.document,
            "approved_at": int(self._clock()),
        }


async def _touch(connection: AsyncConnection, server: str, tool: str) -> None:
    row = {"server": server, "tool": tool, "approved_at": 0, "found_at": 0}
    await connection.execute(insert(tool_pins).values(row).on_conflict_do_nothing())


def _where(server: str, tool: str) -> Any:
    return update(tool_pins).where(tool_pins.c.server == server, tool_pins.c.tool == tool)


def _pin(row: RowMapping) -> Pin:
    approved, found = row["approved_digest"], row["found_digest"]
    return Pin(
        None if approved is None else Definition(approved, row["approved_document"]),
        row["approved_at"],
        None if found is None else Definition(found, row["found_document"]),
        row["found_at"],
    )
