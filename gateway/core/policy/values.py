"""Cedar values as the gateway holds them, and their one encoding into Cedar's JSON.

Only ``encode`` writes ``__entity`` and ``__extn``, and only for a ``Uid`` or an ``Instant``: what a caller
sends stays a string, an integer, a boolean or a set of these, whatever it looks like.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from gateway.core.model import Uid


class Instant(Struct, frozen=True):
    """A point in time, in Unix milliseconds."""

    ms: int

    def __str__(self) -> str:
        """RFC 3339 in UTC with milliseconds: ``2026-11-24T10:00:00.123Z``."""
        seconds, ms = divmod(self.ms, 1000)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


Value = Any
"""``str | int | bool | Uid | Instant``, a tuple of these (a set), or a mapping by name (a record)."""


def encode(value: Value) -> Any:
    """The value in Cedar's JSON form."""
    match value:
        case Uid(type=kind, id=name):
            return {"__entity": {"type": kind, "id": name}}
        case Instant():
            return {"__extn": {"fn": "datetime", "arg": str(value)}}
        case tuple():
            return [encode(item) for item in value]
        case Mapping():
            return {name: encode(item) for name, item in value.items()}
    return value


def plain(value: Value) -> Any:
    """The value as a record keeps it: sets sorted, entities and times as text."""
    match value:
        case Uid() | Instant():
            return str(value)
        case tuple():
            return sorted((plain(item) for item in value), key=repr)
        case Mapping():
            return {name: plain(item) for name, item in sorted(value.items())}
    return value
