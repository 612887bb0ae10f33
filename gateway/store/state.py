"""Opens the state database, and turns what a database can't do into a refusal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.errors import StoreError
from gateway.core.reasons import Reason
from gateway.store.schema import SchemaMismatchError, upgrade
from gateway.store.sql import cause, database_path, make_private, shared_engine


async def open_state(url: str, busy_seconds: float = 2.0) -> AsyncEngine:
    """The state database of ``url``, created and upgraded as needed. The owner disposes it.

    ``busy_seconds`` is how long a transaction waits for another process's.

    Raises:
        StoreError: STORE_UNAVAILABLE, the file can't be used, or a newer version wrote it.
        ValueError: not a URL of a supported store.
    """
    path = database_path(url)
    try:
        make_private(path)
    except OSError as error:
        raise StoreError(Reason.STORE_UNAVAILABLE, f"{path} can't be opened: {error.strerror}") from error
    engine = shared_engine(path, busy_seconds)
    try:
        async with transaction(engine) as connection:
            await connection.run_sync(upgrade, "state")
    except (SchemaMismatchError, StoreError) as error:
        await engine.dispose()
        raise StoreError(Reason.STORE_UNAVAILABLE, f"{path}: {_detail(error)}") from error
    return engine


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction, committed at the end of the block.

    Raises:
        StoreError: STORE_UNAVAILABLE for any failure of the database.
    """
    try:
        async with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(Reason.STORE_UNAVAILABLE, cause(error)) from error


def _detail(error: SchemaMismatchError | StoreError) -> str:
    return error.detail if isinstance(error, StoreError) else str(error)
