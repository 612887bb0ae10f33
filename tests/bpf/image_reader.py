"""An image back to what it says, read as strictly as the C loader does, and asked as the kernel asks it."""

import hashlib
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hopgate_bpf.rules.image import ADDRESS, ANCHOR, CLASS, HEADER, PORT

PROTOCOLS = {"tcp": 1, "udp": 2}


@dataclass(frozen=True)
class ReadClass:
    name: str
    flags: int
    states: int
    byte_classes: int
    classes: bytes
    accepts: bytes
    transitions: tuple[int, ...]
    anchors: tuple[tuple[str, bool, int, int], ...]
    network: dict[tuple[int, int], list[tuple[int, int, int, int, int]]]
    binds: dict[tuple[int, int], list[tuple[int, int, int, int, int]]]

    def file_mask(self, path: bytes) -> int:
        state = 0
        for byte in path:
            state = self.transitions[state * self.byte_classes + self.classes[byte]]
        return self.accepts[state]

    def allows(self, table: str, address: IPv4Address | IPv6Address, port: int, protocol: str) -> bool:
        whole = int(address) | (0xFFFF << 32 if address.version == 4 else 0)
        entries = self.network if table == "network" else self.binds
        for bits in range(128, -1, -1):
            found = entries.get((whole >> (128 - bits) << (128 - bits), bits))
            if found is not None:
                return decided(found, port, PROTOCOLS[protocol])
        return False


def decided(ports: list[tuple[int, int, int, int, int]], port: int, protocol: int) -> bool:
    effects = [effect for first, last, mask, effect, _ in ports if first <= port <= last and mask & protocol]
    return bool(effects) and all(effects)


@dataclass(frozen=True)
class ReadImage:
    generation: int
    digest: bytes
    classes: dict[str, ReadClass]


def read_image(image: bytes) -> ReadImage:
    magic, version, count, total, generation, digest, checksum, reserved = HEADER.unpack_from(image)
    assert (magic, version, total, reserved) == (b"HOPGATE1", 1, len(image), 0)
    assert generation > 0
    assert hashlib.sha256(image[:64] + bytes(32) + image[96:]).digest() == checksum
    classes = [read_class(image, HEADER.size + index * CLASS.size) for index in range(count)]
    names = [each.name for each in classes]
    assert names == sorted(set(names))
    return ReadImage(generation, digest, {each.name: each for each in classes})


def read_class(image: bytes, at: int) -> ReadClass:
    (name, flags, states, width, anchors, class_at, accept_at, next_at, anchor_at, anchor_bytes, network_at, bind_at,
     port_at, networks, binds, ports, reserved) = CLASS.unpack_from(image, at)  # fmt: skip
    assert reserved == 0
    assert flags < 32
    assert 1 <= width <= 256
    assert not [each for each in (class_at, accept_at, next_at, anchor_at, network_at, bind_at, port_at) if each % 8]
    table = struct.unpack(f"<{states * width}H", cut(image, next_at, 2 * states * width))
    assert all(each < states for each in table)
    classes, accepts = cut(image, class_at, 256), cut(image, accept_at, states)
    assert max(classes) < width
    assert max(accepts) < 64
    listed = [PORT.unpack_from(cut(image, port_at, ports * PORT.size), index * PORT.size) for index in range(ports)]
    assert all(first <= last and 0 < mask < 4 and effect < 2 for first, last, mask, effect, _ in listed)
    return ReadClass(
        name.rstrip(b"\0").decode("ascii"), flags, states, width, classes, accepts, table,
        tuple(read_anchors(cut(image, anchor_at, anchor_bytes), anchors)),
        read_addresses(cut(image, network_at, networks * ADDRESS.size), listed),
        read_addresses(cut(image, bind_at, binds * ADDRESS.size), listed),
    )  # fmt: skip


def read_anchors(records: bytes, count: int) -> list[tuple[str, bool, int, int]]:
    found, at = [], 0
    for _ in range(count):
        size, length, mask, prefix, policy, reserved = ANCHOR.unpack_from(records, at)
        assert size % 8 == 0
        assert size >= ANCHOR.size + length + 1
        assert reserved == 0
        assert 0 < mask < 16
        rest = records[at + ANCHOR.size : at + size]
        assert not rest[length:].strip(b"\0")
        found.append((rest[:length].decode(), bool(prefix), mask, policy))
        at += size
    assert at == len(records)
    return found


def read_addresses(records: bytes, ports: list[Any]) -> dict[tuple[int, int], list[Any]]:
    found: dict[tuple[int, int], list[Any]] = {}
    for at in range(0, len(records), ADDRESS.size):
        address, bits, first, count, reserved = ADDRESS.unpack_from(records, at)
        whole = int.from_bytes(address, "big")
        assert reserved == 0
        assert bits <= 128
        assert count <= 16
        assert whole & ((1 << (128 - bits)) - 1) == 0
        assert first + count <= len(ports)
        assert (whole, bits) not in found
        found[whole, bits] = ports[first : first + count]
    return found


def cut(image: bytes, at: int, size: int) -> bytes:
    assert at + size <= len(image)
    return image[at : at + size]
