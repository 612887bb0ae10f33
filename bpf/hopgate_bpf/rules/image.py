"""One generation as the binary image that the C loader applies; the format is ``bpf/src/image.h``.

Pure: equal rules and equal names give equal bytes. Files, anchors and network tables are worked out elsewhere in
this package; here they only get their places.
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from hopgate_bpf.rules.automaton import with_prospects
from hopgate_bpf.rules.destinations import AddressEntry, Destinations, Names, destinations
from hopgate_bpf.rules.document import Anchor, ClassRules, KernelRules
from hopgate_bpf.rules.refusal import Reason, RefusedError

MAGIC = b"HOPGATE1"
VERSION = 1
MAX_BYTES = 64 * 2**20
AUDIT, HIDE, SPAWN, REVALIDATE, DENY_ANONYMOUS = 1, 2, 4, 8, 16

HEADER = struct.Struct("<8sIIQQ32s32sQ")
CLASS = struct.Struct("<64s4I8Q4I")
ANCHOR = struct.Struct("<IHBBHH")
ADDRESS = struct.Struct("<16s4I")
PORT = struct.Struct("<HHBBH")
_SHA256_AT = 64
_ALIGNED = 8


class Strictness(Struct, frozen=True, forbid_unknown_fields=True):
    """What a node asks of a class beyond its rules. Both only deny more."""

    revalidate: bool = False
    """Descriptors and connections from before the class was joined are checked at every use."""
    deny_anonymous_code: bool = False
    """No executable memory without a file: for agents without a just-in-time compiler."""


class Image(Struct, frozen=True):
    """``content`` for the loader, and where it permits less than the document: class → why."""

    content: bytes
    narrowed: Mapping[str, tuple[str, ...]]


def write_image(rules: KernelRules, names: Names, strictness: Mapping[str, Strictness]) -> Image:
    """The image of ``rules``, where host names stand for ``names``.

    Raises:
        RefusedError: DOCUMENT_LIMIT, the image is larger than the loader takes.
    """
    placed = _Tables(HEADER.size + CLASS.size * len(rules.classes))
    entries: list[bytes] = []
    narrowed: dict[str, tuple[str, ...]] = {}
    for each in rules.classes:
        network, binds = destinations(each.network, names), destinations(each.binds, names)
        if network.narrowed or binds.narrowed:
            narrowed[each.name] = (*network.narrowed, *(f"listening: {text}" for text in binds.narrowed))
        flags = _flags(each, strictness.get(each.name, Strictness()))
        entries.append(_class(each, flags, network, binds, placed))
    body = b"".join(entries) + placed.content
    total = HEADER.size + len(body)
    if total > MAX_BYTES:
        raise RefusedError(Reason.DOCUMENT_LIMIT, f"its image has {total} bytes, more than {MAX_BYTES}", "$")
    digest = bytes.fromhex(rules.digest.removeprefix("sha256:"))

    def header(checksum: bytes) -> bytes:
        return HEADER.pack(MAGIC, VERSION, len(rules.classes), total, rules.generation, digest, checksum, 0)

    checksum = hashlib.sha256(header(bytes(32)) + body).digest()
    return Image(header(checksum) + body, narrowed)


class _Tables:
    """What follows the classes: each table at an offset of its own, aligned."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._parts: list[bytes] = []
        self._bytes = 0

    def place(self, table: bytes) -> int:
        """Where ``table`` is in the image; tables may be empty."""
        at = self._start + self._bytes
        padded = table + bytes(-len(table) % _ALIGNED)
        self._parts.append(padded)
        self._bytes += len(padded)
        return at

    @property
    def content(self) -> bytes:
        return b"".join(self._parts)


def _flags(rules: ClassRules, strict: Strictness) -> int:
    chosen = {
        AUDIT: rules.audit,
        HIDE: rules.hide,
        SPAWN: rules.spawn,
        REVALIDATE: strict.revalidate,
        DENY_ANONYMOUS: strict.deny_anonymous_code,
    }
    return sum(flag for flag, is_set in chosen.items() if is_set)


def _class(rules: ClassRules, flags: int, network: Destinations, binds: Destinations, placed: _Tables) -> bytes:
    automaton = rules.files.automaton
    anchors = b"".join(map(_anchor, rules.files.anchors))
    ports: list[bytes] = []
    connect = _addresses(network, ports)
    listen = _addresses(binds, ports)
    return CLASS.pack(
        rules.name.encode("ascii"),
        flags,
        automaton.states,
        automaton.byte_classes,
        len(rules.files.anchors),
        placed.place(automaton.classes),
        placed.place(with_prospects(automaton)),
        placed.place(automaton.transitions),
        placed.place(anchors),
        len(anchors),
        placed.place(b"".join(connect)),
        placed.place(b"".join(listen)),
        placed.place(b"".join(ports)),
        len(connect),
        len(listen),
        len(ports),
        0,
    )


def _anchor(anchor: Anchor) -> bytes:
    path = anchor.path.encode("utf-8")
    size = ANCHOR.size + len(path) + 1
    size += -size % _ALIGNED
    head = ANCHOR.pack(size, len(path), anchor.mask, anchor.prefix, anchor.policy, 0)
    return (head + path).ljust(size, b"\0")


def _addresses(table: Destinations, ports: list[bytes]) -> Sequence[bytes]:
    """The entries of ``table``; their ports are added to ``ports``."""
    entries: list[bytes] = []
    for entry in table.entries:
        address = entry.network.address.to_bytes(16, "big")
        entries.append(ADDRESS.pack(address, entry.network.bits, len(ports), len(entry.ports), 0))
        ports += _packed(entry)
    return entries


def _packed(entry: AddressEntry) -> Iterable[bytes]:
    return (PORT.pack(each.first, each.last, each.protocols, each.permit, each.policy) for each in entry.ports)
