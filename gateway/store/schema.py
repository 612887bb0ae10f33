"""Brings a database to the schema of this code, and refuses one that a newer version wrote."""

from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

Database = Literal["audit", "state"]
_MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaMismatchError(Exception):
    """The database's schema isn't one that this code can use; the message says what to do."""


def upgrade(connection: Connection, database: Database) -> None:
    """Run the migrations that ``connection``'s database lacks, in its transaction.

    Raises:
        SchemaMismatchError: a newer version wrote the database.
    """
    config = _config(database)
    _check_known(connection, ScriptDirectory.from_config(config))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def check_current(connection: Connection, database: Database) -> None:
    """Check that the database can be read as it is.

    Raises:
        SchemaMismatchError: it is newer, older, or no database of Hopgate.
    """
    script = ScriptDirectory.from_config(_config(database))
    _check_known(connection, script)
    if set(_revisions(connection)) != set(script.get_heads()):
        raise SchemaMismatchError("the database is older than this hopgate; start the gateway once to upgrade it")


def _check_known(connection: Connection, script: ScriptDirectory) -> None:
    known = {revision.revision for revision in script.walk_revisions()}
    unknown = set(_revisions(connection)) - known
    if unknown:
        names = ", ".join(sorted(unknown))
        raise SchemaMismatchError(f"schema {names} is of a newer hopgate; run that version, or restore a backup")


def _revisions(connection: Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection).get_current_heads()


def _config(database: Database) -> Config:
    config = Config()
    # ConfigParser reads % as interpolation.
    root = str(_MIGRATIONS).replace("%", "%%")
    config.set_main_option("script_location", root)
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", f"{root}/{database}")
    return config
