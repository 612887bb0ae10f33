"""Every version of the policies folder that was in force. Fulfils ``core.versions.PolicyVersions``; decides nothing.

Rows are only added, a text once for all versions that have it. What is read is compared with its digests: a version
that somebody altered is none. ``kept`` reads the newest before a gateway runs, or beside one.
"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, func, inspect, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.core.errors import StoreError
from gateway.core.reasons import Reason
from gateway.core.versions import Version, VersionFacts, digest_of
from gateway.store.sql import cause, reading_engine
from gateway.store.state import transaction
from gateway.store.tables import policy_texts, policy_versions

_BATCH = 500
T = TypeVar("T")


class SqlPolicyVersions:
    """Versions in the state database: ``engine`` writes, ``path`` is the same file, read beside it."""

    def __init__(self, engine: AsyncEngine, path: Path) -> None:
        self._engine = engine
        self._reader = reading_engine(path)

    async def newest(self) -> VersionFacts | None:
        """The newest version's facts.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        return await self._read(_newest)

    async def read(self, number: int) -> Version | None:
        """One version with its texts.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        return await self._read(lambda connection: _version(connection, number))

    async def append(self, version: Version) -> bool:
        """Whether it is the next version now.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        facts = version.facts
        texts = {_digest(text): text for text in version.files.values()}
        row = msgspec.structs.asdict(facts) | {
            "files": msgspec.json.encode({path: _digest(text) for path, text in sorted(version.files.items())})
        }
        last = select(func.coalesce(func.max(policy_versions.c.number), 0))
        async with transaction(self._engine) as connection:
            if (await connection.execute(last)).scalar_one() != facts.number - 1:
                return False
            if texts:
                rows = [{"digest": digest, "text": text} for digest, text in texts.items()]
                await connection.execute(insert(policy_texts).on_conflict_do_nothing(), rows)
            await connection.execute(insert(policy_versions).values(row))
        return True

    async def page(self, before: int | None, limit: int) -> tuple[VersionFacts, ...]:
        """The newest first, with numbers below ``before``.

        Raises:
            StoreError: STORE_UNAVAILABLE.
        """
        return await self._read(lambda connection: _page(connection, before, limit))

    def close(self) -> None:
        """Let go of the file."""
        self._reader.dispose()

    async def _read(self, ask: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(_asked, self._reader, ask)


def kept(path: Path, number: int | None = None) -> Version | None:
    """The newest version of the database at ``path``, or that of ``number``; None where it has none. Blocks.

    Raises:
        StoreError: STORE_UNAVAILABLE.
    """

    def ask(connection: Connection) -> Version | None:
        wanted = number
        if not inspect(connection).has_table("policy_versions"):
            return None
        if wanted is None:
            newest = _newest(connection)
            wanted = None if newest is None else newest.number
        return None if wanted is None else _version(connection, wanted)

    return _beside(path, ask)


def history(path: Path, limit: int) -> tuple[VersionFacts, ...]:
    """The newest versions of the database at ``path``, newest first. Blocks.

    Raises:
        StoreError: STORE_UNAVAILABLE.
    """

    def ask(connection: Connection) -> tuple[VersionFacts, ...]:
        known = inspect(connection).has_table("policy_versions")
        return _page(connection, None, limit) if known else ()

    return _beside(path, ask) or ()


def _beside(path: Path, ask: Callable[[Connection], T]) -> T | None:
    if not path.exists():
        return None
    reader = reading_engine(path)
    try:
        return _asked(reader, ask)
    finally:
        reader.dispose()


def _asked(reader: Engine, ask: Callable[[Connection], T]) -> T:
    try:
        with reader.begin() as connection:
            return ask(connection)
    except SQLAlchemyError as error:
        reader.dispose()
        raise StoreError(Reason.STORE_UNAVAILABLE, cause(error)) from error


def _newest(connection: Connection) -> VersionFacts | None:
    found = _page(connection, None, 1)
    return found[0] if found else None


def _page(connection: Connection, before: int | None, limit: int) -> tuple[VersionFacts, ...]:
    query = select(policy_versions).order_by(policy_versions.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(policy_versions.c.number < before)
    return tuple(map(_facts, connection.execute(query).mappings()))


def _version(connection: Connection, number: int) -> Version | None:
    row = connection.execute(select(policy_versions).where(policy_versions.c.number == number)).mappings().one_or_none()
    if row is None:
        return None
    facts = _facts(row)
    try:
        manifest = msgspec.json.decode(row["files"], type=dict[str, str])
    except msgspec.MsgspecError:
        raise _altered(number) from None
    texts: dict[str, str] = {}
    wanted = sorted(set(manifest.values()))
    for start in range(0, len(wanted), _BATCH):
        part = select(policy_texts).where(policy_texts.c.digest.in_(wanted[start : start + _BATCH]))
        texts |= {text.digest: text.text for text in connection.execute(part)}
    if any(digest not in texts for digest in wanted):
        raise _altered(number)
    files = {path: texts[digest] for path, digest in manifest.items()}
    if digest_of(files) != facts.digest:
        raise _altered(number)
    return Version(facts, files)


def _facts(row: RowMapping) -> VersionFacts:
    try:
        return msgspec.convert({name: row[name] for name in VersionFacts.__struct_fields__}, VersionFacts)
    except msgspec.ValidationError:
        raise _altered(row["number"]) from None


def _altered(number: object) -> StoreError:
    detail = f"version {number} of the policies is not what was kept; publish again, or restore the database"
    return StoreError(Reason.STORE_UNAVAILABLE, detail)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
