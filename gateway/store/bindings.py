"""First presenters of root tokens (TOKENS §4): the first insert wins, and keeps winning.

Fulfils ``core.ports.Bindings``. Doesn't decide what a second presenter is told. A stored binding never
changes while its token could be presented, so it is read once a process, and used while the store answers.
"""

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.ports import Binding
from gateway.core.recent import Recent
from gateway.store.pulse import Pulse
from gateway.store.state import transaction
from gateway.store.tables import bindings

LEEWAY_SECONDS = 600
"""More than any issuer's configured clock leeway: an expired token may still be presented that long."""
REMEMBERED = 20_000
"""Bindings kept in memory; the oldest are read again."""


class SqlBindings:
    """Bindings in the state database."""

    def __init__(self, engine: AsyncEngine, pulse: Pulse) -> None:
        self._engine = engine
        self._pulse = pulse
        self._known = Recent[str, Binding](REMEMBERED)

    async def bind(self, token_digest: str, proposed: Binding, now: int) -> Binding:
        """The binding in force: ``proposed`` if none was stored, else the stored one. ``now`` in Unix seconds.

        Raises:
            StoreError: STORE_UNAVAILABLE; at the latest a second after the store failed, also of a binding seen before.
        """
        known = self._known.get(token_digest)
        if known is not None and now <= known.token_expires:
            await self._pulse.confirm()
            return known
        found = await self._insert_or_read(token_digest, proposed, now)
        self._known.put(token_digest, found)
        return found

    async def _insert_or_read(self, token_digest: str, proposed: Binding, now: int) -> Binding:
        row = {
            "token_digest": token_digest,
            "agent": proposed.agent,
            "txn": proposed.txn,
            "root_expires": proposed.root_expires,
            "token_expires": proposed.token_expires,
        }
        columns = (bindings.c.agent, bindings.c.txn, bindings.c.root_expires, bindings.c.token_expires)
        async with transaction(self._engine) as connection:
            added = await connection.execute(insert(bindings).values(row).on_conflict_do_nothing())
            if added.rowcount:
                await connection.execute(delete(bindings).where(bindings.c.token_expires < now - LEEWAY_SECONDS))
                return proposed
            found = await connection.execute(select(*columns).where(bindings.c.token_digest == token_digest))
            agent, txn, root_expires, token_expires = found.one()
        return Binding(agent, txn, root_expires, token_expires)
