"""First presenters of root tokens (TOKENS §4): the first insert wins, and keeps winning.

Fulfils ``core.ports.Bindings``. Doesn't decide what a second presenter is told.
"""

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.ports import Binding
from gateway.store.state import transaction
from gateway.store.tables import bindings

KEEP_SECONDS = 30 * 24 * 3600
"""How long after the chain's end a binding is kept: a forgotten token could begin a second chain."""


class SqlBindings:
    """Bindings in the state database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def bind(self, token_digest: str, proposed: Binding, now: int) -> Binding:
        """The binding in force: ``proposed`` if none was stored, else the stored one. ``now`` in Unix seconds.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        row = {
            "token_digest": token_digest,
            "agent": proposed.agent,
            "txn": proposed.txn,
            "root_expires": proposed.root_expires,
        }
        columns = (bindings.c.agent, bindings.c.txn, bindings.c.root_expires)
        async with transaction(self._engine) as connection:
            added = await connection.execute(insert(bindings).values(row).on_conflict_do_nothing())
            if added.rowcount:
                await connection.execute(delete(bindings).where(bindings.c.root_expires < now - KEEP_SECONDS))
                return proposed
            found = await connection.execute(select(*columns).where(bindings.c.token_digest == token_digest))
            agent, txn, root_expires = found.one()
        return Binding(agent, txn, root_expires)
