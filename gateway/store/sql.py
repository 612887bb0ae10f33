"""Engines: how a store URL becomes a database that is durable, private and of the right schema.

SQLite: WAL, ``synchronous=FULL`` (a commit is on the disk when it returns), ``BEGIN IMMEDIATE`` (no
upgrade from read to write can fail half way). Doesn't know any table.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_PRIVATE = 0o600


def database_path(url: str) -> Path:
    """The file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``.

    Raises:
        ValueError: not a SQLite URL with a file.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError("the store URL can't be read; write sqlite:///hopgate.db") from error
    file = parsed.database
    if parsed.drivername != "sqlite" or parsed.query or parsed.host or not file or file == ":memory:":
        raise ValueError("the store URL must be sqlite:///FILE")
    return Path(file)


def audit_path(url: str, worker: int = 0) -> Path:
    """The audit file of one writing process, beside the state file: ``hopgate.audit.db``, ``hopgate.audit.1.db``."""
    path = database_path(url)
    return path.with_name(f"{path.stem}.audit.db" if worker == 0 else f"{path.stem}.audit.{worker}.db")


def audit_paths(url: str) -> tuple[Path, ...]:
    """The audit files that exist for a store URL, in worker order."""
    path = database_path(url)
    first = audit_path(url)
    others = [
        other
        for other in path.parent.glob("*.db")
        if (number := other.name.removeprefix(f"{path.stem}.audit.").removesuffix(".db")).isdecimal()
        and other == audit_path(url, int(number))
    ]
    others.sort(key=lambda other: int(other.name.split(".")[-2]))
    return tuple(other for other in (first, *others) if other.exists())


def make_private(path: Path) -> None:
    """Create ``path`` if it isn't there, and close it to everyone but its owner. SQLite copies the mode to its WAL.

    Raises:
        OSError: it can't be created or changed.
    """
    # Opening and closing a database that is in use would drop SQLite's POSIX locks on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE))
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if each.exists() and stat.S_IMODE(each.stat().st_mode) & 0o077:
            each.chmod(_PRIVATE)


def writing_engine(path: Path, busy_seconds: float) -> Engine:
    """A synchronous engine for one thread that writes."""
    engine = create_engine(URL.create("sqlite", database=str(path)), hide_parameters=True, pool_size=1, max_overflow=0)
    _prepare(engine, busy_seconds, "BEGIN IMMEDIATE", _WRITER)
    return engine


def shared_engine(path: Path, busy_seconds: float) -> AsyncEngine:
    """An asynchronous engine for short transactions of many tasks."""
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)), hide_parameters=True, pool_size=2, max_overflow=0
    )
    _prepare(engine.sync_engine, busy_seconds, "BEGIN IMMEDIATE", _WRITER)
    return engine


def reading_engine(path: Path) -> Engine:
    """An engine that can't write; the file may be in use, or left by a process that was killed."""
    file = f"file:{quote(str(path.absolute()))}"
    engine = create_engine(
        URL.create("sqlite", database=file, query={"mode": "ro", "uri": "true"}), hide_parameters=True
    )
    _prepare(engine, 5.0, "BEGIN", ("PRAGMA query_only=ON",))
    event.listen(engine, "connect", _read_any_text)
    return engine


def cause(error: SQLAlchemyError) -> str:
    """What the database said, without statement and values."""
    original = getattr(error, "orig", None)
    return str(original or type(error).__name__)


_WRITER = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON")


def _read_any_text(connection: Any, _: object) -> None:
    # A tampered row must be read to be named.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")


def _prepare(engine: Engine, busy_seconds: float, begin: str, pragmas: tuple[str, ...]) -> None:
    def on_connect(connection: Any, _: object) -> None:
        # The driver would begin transactions itself, deferred ones.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (f"PRAGMA busy_timeout={int(busy_seconds * 1000)}", *pragmas):
            cursor.execute(pragma)
        cursor.close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
