"""Which agents work in which live chains. Fulfils ``core.ports.LiveChains``; decides nothing (``core.ancestry``).

A row is written once a process, and again only where a chain reaches its agent deeper; it goes when its chain is over.
"""

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.ancestry import LISTED, Participation
from gateway.core.model import SpiffeId
from gateway.core.recent import Recent
from gateway.store.state import transaction
from gateway.store.tables import live_chains

KEPT_SECONDS = 60
"""How long after its end a chain is kept: more than the clocks of two processes may differ."""
REMEMBERED = 20_000
"""Rows that this process knows to be stored; the oldest are written again, which changes nothing."""


class SqlLiveChains:
    """Live chains in the state database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._stored = Recent[tuple[str, str, str], int](REMEMBERED)

    async def join(self, part: Participation, now: int) -> None:
        """Durable when it returns; ``now`` in Unix seconds.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        key = (part.sub, part.agent, part.txn)
        if (self._stored.get(key) or 0) >= part.depth:
            return
        row = {
            "sub": part.sub,
            "agent": part.agent,
            "txn": part.txn,
            "depth": part.depth,
            "root_expires": part.root_expires,
        }
        added = insert(live_chains).values(row)
        deeper = added.on_conflict_do_update(
            index_elements=["agent", "sub", "txn"],
            set_={"depth": added.excluded.depth},
            where=live_chains.c.depth < added.excluded.depth,
        )
        async with transaction(self._engine) as connection:
            await connection.execute(delete(live_chains).where(live_chains.c.root_expires < now - KEPT_SECONDS))
            await connection.execute(deeper)
        self._stored.put(key, part.depth)

    async def of(self, agent: SpiffeId, sub: str | None, now: int) -> tuple[Participation, ...]:
        """The deepest live chains that ``agent`` works in, of ``sub`` or of anybody, deepest first.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        rows = live_chains.c
        query = select(rows.sub, rows.txn, rows.depth, rows.root_expires).where(
            rows.agent == agent, rows.root_expires > now
        )
        if sub is not None:
            query = query.where(rows.sub == sub)
        ordered = query.order_by(rows.depth.desc(), rows.root_expires.desc(), rows.txn).limit(LISTED)
        async with transaction(self._engine) as connection:
            found = (await connection.execute(ordered)).all()
        return tuple(Participation(row.sub, agent, row.txn, row.depth, row.root_expires) for row in found)
