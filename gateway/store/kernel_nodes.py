"""Of every node of the kernel half: the generation of rules issued last, and the event recorded last.

Fulfils ``core.kernel.standing.KernelNodes``. Decides only that a generation never falls, and is of one content.
"""

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.kernel.standing import Mark
from gateway.store.state import transaction
from gateway.store.tables import kernel_nodes


class SqlKernelNodes:
    """Nodes in the state database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def issue(self, node: str, content: str, above: int) -> int:
        """The generation of ``content``; a new one, more than ``above`` and the last, unless the last is it.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        found = select(kernel_nodes.c.generation, kernel_nodes.c.content).where(kernel_nodes.c.node == node)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(found)).one_or_none()
            last = 0 if row is None else int(row.generation)
            if row is not None and row.content == content and last > above:
                return last
            values = {"generation": max(last, above) + 1, "content": content}
            added = insert(kernel_nodes).values(node=node, event_time=0, event_seq=0, **values)
            await connection.execute(added.on_conflict_do_update(index_elements=["node"], set_=values))
        return max(last, above) + 1

    async def issued(self, node: str) -> int:
        """The last generation; 0: none.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        async with transaction(self._engine) as connection:
            query = select(kernel_nodes.c.generation).where(kernel_nodes.c.node == node)
            found = (await connection.execute(query)).scalar_one_or_none()
        return 0 if found is None else int(found)

    async def seen(self, node: str) -> Mark:
        """The event recorded last.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        query = select(kernel_nodes.c.event_time, kernel_nodes.c.event_seq).where(kernel_nodes.c.node == node)
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query)).one_or_none()
        return Mark() if row is None else Mark(int(row.event_time), int(row.event_seq))

    async def saw(self, node: str, mark: Mark) -> None:
        """Keep ``mark``.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        values = {"event_time": mark.time, "event_seq": mark.seq}
        added = insert(kernel_nodes).values(node=node, generation=0, content="", **values)
        async with transaction(self._engine) as connection:
            await connection.execute(added.on_conflict_do_update(index_elements=["node"], set_=values))
