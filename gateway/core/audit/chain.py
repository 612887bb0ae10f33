"""The hash chain: canonical bytes, links, genesis and signed checkpoints.

``link = SHA-256(previous link ‖ bytes)``; a writer's chain begins with a genesis record whose previous
link is 32 zero bytes. Doesn't store; signing keys are passed in as functions.
"""

import hashlib
from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.audit.canonical import canonical
from gateway.core.audit.record import CheckpointRecord, GenesisRecord, Head, Record, encode

ORIGIN = bytes(32)
_CONTEXT = b"hopgate audit checkpoint 1\n"


class Signer(Struct, frozen=True):
    """An Ed25519 key as a function: message → 64 bytes of signature."""

    key_id: str
    sign: Callable[[bytes], bytes]


class Sealed(Struct, frozen=True):
    """A record in its place: the bytes to store and the head that the chain has with it."""

    record: Record
    payload: bytes
    link: bytes

    @property
    def head(self) -> Head:
        """The chain's end once this is stored."""
        return Head(self.record.writer, self.record.seq, self.link.hex())


def link(previous: bytes, payload: bytes) -> bytes:
    """The 32-byte link of a record whose predecessor's link is ``previous``."""
    return hashlib.sha256(previous + payload).digest()


def begin(writer: str, at: int, predecessor: Head | None) -> Sealed:
    """The genesis of ``writer``'s chain; ``predecessor`` is where the log's previous boot ended."""
    record = GenesisRecord(id=f"{writer}#0", at=at, writer=writer, seq=0, predecessor=predecessor)
    payload = encode(record)
    return Sealed(record, payload, link(ORIGIN, payload))


def extend(head: Head, record: Record) -> Sealed:
    """``record`` as the next one after ``head``.

    Raises:
        ValueError: the record has no canonical bytes.
    """
    placed = replace(record, writer=head.writer, seq=head.seq + 1)
    payload = encode(placed)
    return Sealed(placed, payload, link(bytes.fromhex(head.link), payload))


def checkpoint(head: Head, others: Iterable[Head], at: int, signer: Signer) -> CheckpointRecord:
    """A signed checkpoint over ``head`` and the heads of all other chains, to be appended after ``head``."""
    heads = (head, *sorted(others, key=lambda other: other.writer))
    unsigned = CheckpointRecord(
        id=f"{head.writer}#{head.seq + 1}", at=at, heads=heads, key_id=signer.key_id, signature=""
    )
    return replace(unsigned, signature=signer.sign(signed_bytes(unsigned)).hex())


def signed_bytes(record: CheckpointRecord) -> bytes:
    """What a checkpoint's signature covers: time, key and heads, under a context of their own."""
    heads = [{"writer": head.writer, "seq": head.seq, "link": head.link} for head in record.heads]
    return _CONTEXT + canonical({"at": record.at, "key_id": record.key_id, "heads": heads})
