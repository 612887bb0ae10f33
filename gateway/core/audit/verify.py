"""Offline verification of stored chains: finds the first bad record, and says what no checkpoint covers.

Whoever can write the files but has no signing key can't change anything before the last checkpoint that
the auditor holds. What lies beyond it can be rewritten or cut off unnoticed, so the report counts it.
Doesn't read files; keys are passed in as functions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from gateway.core.audit.chain import ORIGIN, link, signed_bytes
from gateway.core.audit.record import AnyRecord, CheckpointRecord, GenesisRecord, Head, decode

CheckSignature = Callable[[bytes, bytes], bool]
"""(message, signature) → whether the key made it."""
_LINK_BYTES = 32


class Row(Struct, frozen=True):
    """One stored record."""

    writer: str
    seq: int
    payload: bytes
    link: bytes


class Fault(Struct, frozen=True):
    """The first bad record, and what is wrong with it."""

    writer: str
    seq: int
    why: str


class Beyond(Struct, frozen=True):
    """Records after the last checkpoint that covers their chain: linked, but not proven."""

    writer: str
    first: int
    count: int


class Report(Struct, frozen=True, kw_only=True):
    """What verification found."""

    records: int
    writers: int
    checkpoints: int
    """Checkpoints whose signature was verified."""
    unverified: int
    """Checkpoints that no key was given for."""
    fault: Fault | None
    beyond: tuple[Beyond, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.fault is None


def verify(
    rows: Iterable[Row], exported: Sequence[CheckpointRecord] = (), keys: Mapping[str, CheckSignature] | None = None
) -> Report:
    """Verify ``rows`` (of each writer in the order stored) against themselves and the checkpoints.

    ``exported`` are checkpoints kept off the host; ``keys`` maps key id → signature check. Without keys
    only the links are verified and everything is ``beyond``.
    """
    audit = _Verification(keys or {})
    fault = _first(map(audit.take, rows))
    if fault is None:
        fault = _first(audit.checkpoint_fault(record, "exported") for record in exported)
    if fault is None:
        fault = _first(audit.checkpoint_fault(record, "stored") for record in audit.stored)
    if fault is None:
        fault = _first(map(audit.predecessor_fault, audit.geneses)) or audit.unsigned_fault()
    return audit.report(fault)


def _first(faults: Iterable[Fault | None]) -> Fault | None:
    return next((fault for fault in faults if fault is not None), None)


class _Verification:
    """One pass over the rows. Keeps 32 bytes a record, so that any head can be looked up afterwards."""

    def __init__(self, keys: Mapping[str, CheckSignature]) -> None:
        self.keys = keys
        self.links: dict[str, bytearray] = {}
        self.geneses: list[GenesisRecord] = []
        self.stored: list[CheckpointRecord] = []
        self.covered: dict[str, int] = {}
        self.verified = 0
        self.unverified = 0

    def take(self, row: Row) -> Fault | None:
        """Check one row against the chain so far, and remember it."""
        links = self.links.setdefault(row.writer, bytearray())
        expected = len(links) // _LINK_BYTES
        if row.seq != expected:
            why = f"record {expected} is missing" if row.seq > expected else "the record is repeated or out of order"
            return Fault(row.writer, min(row.seq, expected), why)
        previous = bytes(links[-_LINK_BYTES:]) if links else ORIGIN
        if link(previous, row.payload) != row.link:
            return Fault(row.writer, row.seq, "the record or its link was changed: the SHA-256 link does not fit")
        links += row.link
        return self._content_fault(row)

    def _content_fault(self, row: Row) -> Fault | None:
        try:
            record: AnyRecord = decode(row.payload)
        except ValueError as error:
            return Fault(row.writer, row.seq, f"the record can't be read: {error}")
        if (record.writer, record.seq) != (row.writer, row.seq):
            return Fault(row.writer, row.seq, f"the record belongs to {record.writer} at {record.seq}")
        if isinstance(record, GenesisRecord) != (row.seq == 0):
            return Fault(row.writer, row.seq, "a chain has its genesis at 0 and nowhere else")
        if isinstance(record, GenesisRecord):
            self.geneses.append(record)
        elif isinstance(record, CheckpointRecord):
            self.stored.append(record)
        return None

    def checkpoint_fault(self, record: CheckpointRecord, source: str) -> Fault | None:
        """Check a checkpoint's signature and heads; a verified one covers what its heads name."""
        if self.keys:
            check = self.keys.get(record.key_id)
            if check is None:
                return Fault(
                    record.writer, record.seq, f"no key {record.key_id} was given for this {source} checkpoint"
                )
            if not check(signed_bytes(record), _unhex(record.signature)):
                return Fault(record.writer, record.seq, f"the signature of this {source} checkpoint is wrong")
            self.verified += 1
        else:
            self.unverified += 1
        for head in record.heads:
            fault = self._head_fault(head, f"the {source} checkpoint {record.id}")
            if fault is not None:
                return fault
            if self.keys:
                self.covered[head.writer] = max(self.covered.get(head.writer, -1), head.seq)
        return None

    def predecessor_fault(self, record: GenesisRecord) -> Fault | None:
        """Check that the chain named as predecessor is there and ends where the genesis says."""
        head = record.predecessor
        if head is None:
            return None
        fault = self._head_fault(head, f"the genesis of {record.writer}")
        if fault is not None:
            return fault
        end = self._end(head.writer)
        if end != head.seq:
            return Fault(head.writer, head.seq + 1, f"added after the end that the genesis of {record.writer} names")
        return None

    def unsigned_fault(self) -> Fault | None:
        """Keys were given, yet nothing is signed: all checkpoints were taken out, or never made."""
        if not self.keys or self.verified or not self.geneses:
            return None
        return Fault(self.geneses[0].writer, 0, "no checkpoint is signed by a given key")

    def _head_fault(self, head: Head, namer: str) -> Fault | None:
        if head.seq < 0 or head.seq > self._end(head.writer):
            return Fault(head.writer, self._end(head.writer) + 1, f"missing: {namer} names records up to {head.seq}")
        found = self.links[head.writer][head.seq * _LINK_BYTES : (head.seq + 1) * _LINK_BYTES]
        if found == _unhex(head.link):
            return None
        first = min(self.covered.get(head.writer, -1) + 1, head.seq)
        return Fault(
            head.writer,
            first,
            f"{namer} names another link at {head.seq}: a record in {first}–{head.seq} was rewritten",
        )

    def _end(self, writer: str) -> int:
        return len(self.links.get(writer, b"")) // _LINK_BYTES - 1

    def report(self, fault: Fault | None) -> Report:
        """Count what is covered: by a checkpoint, or by the genesis of a covered successor."""
        for record in reversed(self.geneses):
            before = record.predecessor
            if before is not None and record.writer in self.covered:
                self.covered[before.writer] = max(self.covered.get(before.writer, -1), before.seq)
        beyond = [
            Beyond(writer, covered + 1, self._end(writer) - covered)
            for writer in self.links
            if (covered := self.covered.get(writer, -1)) < self._end(writer)
        ]
        return Report(
            records=sum(len(links) // _LINK_BYTES for links in self.links.values()),
            writers=len(self.links),
            checkpoints=self.verified,
            unverified=self.unverified,
            fault=fault,
            beyond=tuple(beyond),
        )


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
