"""Trust bundles of other domains as they were fetched last, and the sequence of the own one.

Fulfils ``core.ports.TrustBundles``; decides only that no document of an older sequence replaces a newer one.
"""

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.keeping import KeptBundle
from gateway.store.state import transaction
from gateway.store.tables import trust_bundles


class SqlTrustBundles:
    """Bundles in the state database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def kept(self, trust_domain: str) -> KeptBundle | None:
        """The document that was kept last, by any process.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        wanted = select(trust_bundles.c.document, trust_bundles.c.fetched).where(
            trust_bundles.c.trust_domain == trust_domain, trust_bundles.c.document.is_not(None)
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(wanted)).one_or_none()
        return None if row is None else KeptBundle(row.document, row.fetched)

    async def keep(self, trust_domain: str, kept: KeptBundle, sequence: int) -> None:
        """Keep a document, unless one of a higher ``sequence`` is there.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        row = insert(trust_bundles).values(
            trust_domain=trust_domain, sequence=sequence, digest="", document=kept.document, fetched=kept.fetched
        )
        change = {name: row.excluded[name] for name in ("sequence", "document", "fetched")}
        newer = trust_bundles.c.sequence <= row.excluded.sequence
        async with transaction(self._engine) as connection:
            await connection.execute(
                row.on_conflict_do_update(index_elements=["trust_domain"], set_=change, where=newer)
            )

    async def sequence(self, trust_domain: str, digest: str, now: int) -> int:
        """The own bundle's sequence with the roots of ``digest``; a new one, and higher, where they are new.

        It is no less than ``now`` (Unix seconds) at the change, so that one lost with its store is not taken again.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        found = select(trust_bundles.c.sequence, trust_bundles.c.digest).where(
            trust_bundles.c.trust_domain == trust_domain
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(found)).one_or_none()
            if row is not None and row.digest == digest:
                return int(row.sequence)
            sequence = now if row is None else max(now, row.sequence + 1)
            values = {"sequence": sequence, "digest": digest, "fetched": now}
            added = insert(trust_bundles).values(trust_domain=trust_domain, **values)
            await connection.execute(added.on_conflict_do_update(index_elements=["trust_domain"], set_=values))
        return sequence
