"""Where a page ended, as text that only the gateway reads, and that fits only the search it came from."""

import msgspec

from gateway.admin.request import PlaceError
from gateway.core.ports import Sealer

CURSOR_CHARS = 2048


def sealed(sealer: Sealer, place: object, search: object) -> str:
    """The cursor of ``place`` within ``search``: its filters, without cursor and limit."""
    return sealer.seal(msgspec.json.encode(place), _context(search))


def opened(sealer: Sealer, cursor: str, search: object) -> bytes:
    """The encoded place.

    Raises:
        PlaceError: it isn't a cursor of this search.
    """
    found = sealer.open(cursor, _context(search))
    if found is None:
        raise PlaceError("it is not the `next` of a page with the same filters", "$query.cursor")
    return found


def _context(search: object) -> bytes:
    return b"admin cursor " + msgspec.json.encode(search, order="deterministic")
