"""Keeps what decisions were made from, once for many: committed with the first record that names it, before it."""

from collections.abc import Sequence

from msgspec import Raw

from gateway.core.audit import FactsRecord
from gateway.core.model import Hop
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.keeping import Keeper, Piece
from gateway.core.recent import Recent

WRITTEN = 65_536
"""Pieces that this process knows to be written; the oldest are written again."""


class Keeping:
    """The pieces of one process."""

    def __init__(self) -> None:
        self._keeper = Keeper()
        self._written = Recent[str, bool](WRITTEN)

    def pieces(self, hop: Hop, bundle: Bundle) -> tuple[Piece, ...]:
        """What the hop was decided from; its record names them."""
        return self._keeper.pieces(hop, bundle)

    def unwritten(self, pieces: Sequence[Piece], at: int) -> tuple[FactsRecord, ...]:
        """The records of those that have to be committed yet. ``at`` in Unix milliseconds."""
        return tuple(
            FactsRecord(id=piece.digest, hop=piece.digest, at=at, document=Raw(piece.document))
            for piece in pieces
            if not self._written.get(piece.digest)
        )

    def written(self, records: Sequence[FactsRecord]) -> None:
        """They are durable."""
        for record in records:
            self._written.put(record.hop, True)
