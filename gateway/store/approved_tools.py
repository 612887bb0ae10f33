"""Approved definitions of tools, read at once: what argument types of policies come from. Never writes.

Works beside a running gateway, and where none has run yet. The definitions of the data path are ``tool_pins``'.
"""

from pathlib import Path

from sqlalchemy import inspect, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.core.errors import StoreError
from gateway.core.pins import Approved, Definition
from gateway.core.reasons import Reason
from gateway.store.sql import cause, reading_engine
from gateway.store.tables import tool_pins


def approved_tools(database: Path) -> Approved:
    """All approved definitions in the state database; none where it doesn't exist yet.

    Raises:
        StoreError: STORE_UNAVAILABLE.
    """
    if not database.exists():
        return {}
    columns = tool_pins.c.server, tool_pins.c.tool, tool_pins.c.approved_digest, tool_pins.c.approved_document
    engine = reading_engine(database)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(tool_pins.name):
                return {}
            rows = connection.execute(select(*columns).where(tool_pins.c.approved_digest.is_not(None))).all()
    except SQLAlchemyError as error:
        raise StoreError(Reason.STORE_UNAVAILABLE, f"{database}: {cause(error)}") from None
    finally:
        engine.dispose()
    return {(server, tool): Definition(digest, document) for server, tool, digest, document in rows}
