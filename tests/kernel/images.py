"""The images that the tests apply, by the companion's own writer, and damaged ones."""

import hashlib
import ipaddress
import struct
from collections.abc import Iterator, Mapping

from hopgate_bpf.rules.document import Anchor, ClassRules, Files, KernelRules, NetworkRule
from hopgate_bpf.rules.image import CLASS, HEADER, Strictness, write_image
from tests.kernel.patterns import automaton

READ, WRITE, EXEC, LOAD, ALL = 1, 2, 4, 8, 15
SWAPS = 8
PERMITTED = [
    ("/work/*", READ | WRITE),
    ("/ro/*", READ),
    ("/proc/*", READ | WRITE),
    ("/dev/*", READ | WRITE),
    ("/modules/*", READ),
    ("/sys/fs/*", READ | WRITE),
    ("/bin/true", READ | EXEC),
    ("/bin/busybox", READ | EXEC),
    ("/work/script", EXEC),
    ("/lib/*", READ | LOAD),
]
FORBIDDEN = [("/work/private/*", ALL), ("/work/private", WRITE), ("/work/secret.txt", ALL)]
ANCHORS = (
    Anchor("/work/secret.txt", False, ALL, 1),
    Anchor("/vault", True, ALL, 1),
    Anchor("/work/private", True, ALL, 1),
    Anchor("/nowhere", True, ALL, 1),
)
NETWORK = (
    NetworkRule("permit", "127.0.0.0/8", 7001, "tcp", 0, False),
    NetworkRule("permit", "::1", 7001, "tcp", 0, False),
    NetworkRule("permit", "127.0.0.1", 7003, "udp", 0, False),
    NetworkRule("forbid", "127.0.0.9", None, None, 1, False),
)
BINDS = (NetworkRule("permit", "127.0.0.1", 7010, "tcp", 0, False),)
STRICT = {"strict": Strictness(revalidate=True, deny_anonymous_code=True)}


def rules(
    name: str,
    *,
    audit: bool = False,
    hide: bool = False,
    spawn: bool = True,
    files: Files | None = None,
    network: tuple[NetworkRule, ...] = NETWORK,
) -> ClassRules:
    """A class of the matrix."""
    files = files or Files(automaton(PERMITTED, FORBIDDEN), ANCHORS)
    return ClassRules(name, audit, hide, files, network, BINDS, None, spawn, ("work", "nobody-reads-secrets"))


def matrix_classes(swap: int = 0) -> tuple[ClassRules, ...]:
    """All of them, sorted. ``empty`` isn't there: registered, and without rules."""
    return (
        rules("alone", spawn=False),
        rules("audit", audit=True),
        rules("hide", hide=True),
        rules("plain"),
        rules("strict"),
        rules("swap", files=swapped(swap)),
    )


def measured_class() -> ClassRules:
    """Fifty prefixes, as a class of some size has; UDP to the port that TCP goes to as well."""
    patterns = [*PERMITTED, *((f"/data/team-{number}/*", READ) for number in range(40))]
    network = (*NETWORK, NetworkRule("permit", "127.0.0.1", 7001, "udp", 0, False))
    return rules("plain", files=Files(automaton(patterns, FORBIDDEN), ANCHORS), network=network)


def swapped(number: int) -> Files:
    """One of two files may be opened; automaton and anchors both say which, so that a mixture permits neither."""
    open_, closed = ("/work/a", "/work/b") if number % 2 else ("/work/b", "/work/a")
    return Files(automaton([(open_, READ), ("/proc/*", READ)]), (Anchor(closed, False, READ, 1),))


def image(generation: int, classes: tuple[ClassRules, ...]) -> bytes:
    """One generation, with names unknown."""
    document = KernelRules("hopgate.kernel/1", generation, "sha256:" + "ab" * 32, "node-1", classes)
    return write_image(document, {}, STRICT).content


def large_image(generation: int) -> bytes:
    """4,096 anchors, an automaton of thousands of states, 10,000 network rules in three classes."""
    network = tuple(
        NetworkRule("permit", str(ipaddress.IPv4Address(0x0A000000 + 7 * number)), 443, "tcp", 0, False)
        for number in range(3400)
    )
    anchors = (*ANCHORS, *(Anchor(f"/vault/{number}", False, ALL, 1) for number in range(4092)))
    patterns = [*PERMITTED, *((f"/data/{number:04}/*", READ) for number in range(0, 4000, 13))]
    classes = list(matrix_classes())
    for at in (0, 2, 3):
        each = classes[at]
        files = Files(automaton(patterns, FORBIDDEN), anchors)
        classes[at] = rules(each.name, hide=each.hide, spawn=each.spawn, files=files, network=(*NETWORK, *network))
    return image(generation, tuple(classes))


def sealed(content: bytes) -> bytes:
    """With the length and SHA-256 that belong to it now, so that only what was changed is wrong."""
    fields = list(HEADER.unpack_from(content))
    fields[3], fields[6] = len(content), bytes(32)
    body = content[HEADER.size :]
    fields[6] = hashlib.sha256(HEADER.pack(*fields) + body).digest()
    return HEADER.pack(*fields) + body


def changed(content: bytes, at: int, with_: bytes) -> bytes:
    """Sealed again with some bytes replaced."""
    return sealed(content[:at] + with_ + content[at + len(with_) :])


def refused_images(generation: int) -> Mapping[str, tuple[bytes, str]]:
    """Name → image and the code it is refused with. ``generation`` is in force."""
    return dict(_refused(generation))


def _refused(generation: int) -> Iterator[tuple[str, tuple[bytes, str]]]:
    good = image(generation + 1, matrix_classes())
    first = CLASS.unpack_from(good, HEADER.size)
    states, byte_classes, accept, transitions, byte_class = first[2], first[3], first[6], first[7], first[5]
    anchors, network, ports = first[8], first[10], first[12]
    head = HEADER.size
    word = struct.Struct("<I").pack

    yield "old", (image(generation - 1, matrix_classes()), "generation_old")
    yield "damaged", (good[:-9] + bytes([good[-9] ^ 1]) + good[-8:], "image_damaged")
    yield "short", (good[:-8], "image_damaged")
    yield "no-magic", (b"HOPGATE2" + good[8:], "image_damaged")
    yield "version", (changed(good, 8, word(2)), "image_version")
    yield "states", (changed(good, head + 68, word(8193)), "image_limit")
    yield "accept", (changed(good, accept, b"\x80"), "image_damaged")
    yield "transition", (changed(good, transitions, struct.pack("<H", states)), "image_damaged")
    yield "byte-class", (changed(good, byte_class + 65, bytes([byte_classes])), "image_damaged")
    yield "anchor", (changed(good, anchors + 12, b"x"), "image_damaged")
    yield "anchors", (changed(good, head + 76, word(4097)), "image_limit")
    yield "prefix", (changed(good, network + 16, word(129)), "image_damaged")
    yield "port", (changed(good, ports + 4, b"\x00"), "image_damaged")
    yield "ports", (changed(good, network + 24, word(17)), "image_limit")
    yield "network", (changed(good, head + 144, word(16385)), "image_limit")
    yield "flags", (changed(good, head + 64, word(1 << 7)), "image_damaged")
    yield "name", (changed(good, head, b" "), "image_damaged")
    yield "order", (changed(good, head + CLASS.size, b"A"), "image_damaged")
    yield "generation", (changed(good, 24, bytes(8)), "image_damaged")
    yield "empty", (b"", "image_damaged")
