"""Approvals in the state database. Fulfils ``core.approval_port.Approvals``; can't open the sealed arguments.

Every change is a compare-and-set on the version, and what webhooks are told of it is written in its transaction.
Doesn't know what may follow what: ``core.approval`` does; or what is told of it: ``core.webhook_letters`` does.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, and_, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.approval import Approval, State
from gateway.core.approval_port import KeptApproval
from gateway.core.webhook_letters import Letter
from gateway.store import webhook_letters
from gateway.store.state import transaction
from gateway.store.tables import approvals as table

_DECODER = msgspec.json.Decoder(Approval)
_COLUMNS = (table.c.document, table.c.sealed, table.c.place)
Telling = Callable[[Approval | None, Approval], Sequence[Letter]]
"""What is told of a change from the first to the second; None where it was asked for."""


def _nobody(before: Approval | None, after: Approval) -> Sequence[Letter]:
    return ()


class SqlApprovals:
    """Approvals shared by all processes of a deployment."""

    def __init__(self, engine: AsyncEngine, telling: Telling = _nobody) -> None:
        self._engine = engine
        self._telling = telling

    async def ask(self, approval: Approval, sealed: str, most: int) -> KeptApproval | None:
        """The open approval of the binding: this one, or one that was there. None: the asker has ``most`` already.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        row = {
            "id": approval.id,
            "binding": approval.binding,
            "whose": approval.whose,
            "sealed": sealed,
            **_changing(approval),
        }
        opened = select(*_COLUMNS).where(table.c.slot == approval.binding)
        waiting = select(func.count()).where(table.c.slot.is_not(None), table.c.whose == approval.whose)
        async with transaction(self._engine) as connection:
            found = (await connection.execute(opened)).one_or_none()
            if found is None:
                if (await connection.execute(waiting)).scalar_one() >= most:
                    return None
                await connection.execute(insert(table).values(row).on_conflict_do_nothing())
                await webhook_letters.post(connection, self._telling(None, approval))
                found = (await connection.execute(opened)).one()
        return _kept(found)

    async def newest(self, binding: str) -> KeptApproval | None:
        """The newest one of a binding, as it was stored.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        newest = table.c.binding == binding
        return await self._one(select(*_COLUMNS).where(newest).order_by(table.c.place.desc()).limit(1))

    async def find(self, name: str) -> KeptApproval | None:
        """One approval by its id.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        return await self._one(select(*_COLUMNS).where(table.c.id == name))

    async def replace(self, before: Approval, after: Approval) -> bool:
        """Whether ``before`` is what was stored, and ``after`` is now.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        same = and_(table.c.id == before.id, table.c.version == before.version)
        changes = _changing(after) | ({} if after.is_open else {"sealed": None})
        async with transaction(self._engine) as connection:
            changed = await connection.execute(update(table).where(same).values(**changes))
            if changed.rowcount:
                await webhook_letters.post(connection, self._telling(before, after))
        return bool(changed.rowcount)

    async def page(self, states: Collection[State], before: int | None, limit: int) -> tuple[KeptApproval, ...]:
        """The newest of those states, asked for before the one of place ``before``.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        query = select(*_COLUMNS).where(table.c.state.in_(sorted(states))).order_by(table.c.place.desc()).limit(limit)
        if before is not None:
            query = query.where(table.c.place < before)
        async with transaction(self._engine) as connection:
            return tuple(_kept(row) for row in await connection.execute(query))

    async def lapsed(self, now: int, limit: int) -> tuple[Approval, ...]:
        """Open ones that time has ended at ``now`` (Unix seconds).

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        query = select(*_COLUMNS).where(table.c.lapses <= now).order_by(table.c.lapses).limit(limit)
        async with transaction(self._engine) as connection:
            return tuple(_kept(row).approval for row in await connection.execute(query))

    async def forget(self, before: int) -> int:
        """How many closed ones were deleted that had ended before then (Unix milliseconds).

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        closed = and_(table.c.slot.is_(None), table.c.ended_at < before)
        async with transaction(self._engine) as connection:
            deleted = await connection.execute(delete(table).where(closed))
        return int(deleted.rowcount)

    async def _one(self, query: Select[Any]) -> KeptApproval | None:
        async with transaction(self._engine) as connection:
            found = (await connection.execute(query)).one_or_none()
        return None if found is None else _kept(found)


def _changing(approval: Approval) -> dict[str, Any]:
    return {
        "slot": approval.binding if approval.is_open else None,
        "state": approval.state,
        "version": approval.version,
        "lapses": approval.lapses,
        "ended_at": approval.ended_at,
        "document": msgspec.json.encode(approval),
    }


def _kept(row: Any) -> KeptApproval:
    return KeptApproval(_DECODER.decode(row.document), row.sealed, row.place)
