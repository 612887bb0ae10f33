"""Names are looked up with the time to live that the name server gave; a name server that fails is no answer."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from hopgate_bpf.node.resolver import DnsResolver
from hopgate_bpf.rules.names import Answer, LookupFailed

A, AAAA = 1, 28
Records = dict[tuple[str, int], tuple[int, list[str]]]


class NameServer(asyncio.DatagramProtocol):
    """Answers from ``records``: (name, type) → (TTL, addresses). ``code``: RCODE where there are none."""

    def __init__(self, records: Records, code: int) -> None:
        self.records = records
        self.code = code

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, at = [], 12
        while size := data[at]:
            labels.append(data[at + 1 : at + 1 + size].decode())
            at += 1 + size
        question = data[12 : at + 5]
        (kind,) = struct.unpack_from(">H", data, at + 1)
        ttl, found = self.records.get((".".join(labels).lower(), kind), (0, []))
        answers = b"".join(record(kind, ttl, address) for address in found)
        known = any(name == ".".join(labels).lower() for name, _ in self.records)
        code = 0 if found or known else self.code
        head = data[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        self.transport.sendto(head + question + answers, addr)


def record(kind: int, ttl: int, address: str) -> bytes:
    packed = ip_address(address).packed
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, ttl, len(packed)) + packed


@asynccontextmanager
async def asking(records: Records, code: int = 3) -> AsyncIterator[DnsResolver]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(records, code), local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    resolver = DnsResolver([f"127.0.0.1:{port}"], 10)
    try:
        yield resolver
    finally:
        await resolver.close()
        transport.close()


async def test_both_families_are_looked_up_and_the_shorter_time_to_live_counts() -> None:
    records: Records = {
        ("models.example", A): (300, ["192.0.2.1", "192.0.2.2"]),
        ("models.example", AAAA): (60, ["2001:db8::1"]),
    }
    async with asking(records) as resolver:
        said = await resolver.lookup("models.example")
    expected = frozenset(map(ip_address, ["192.0.2.1", "192.0.2.2", "2001:db8::1"]))
    assert said == Answer(expected, 60)


async def test_a_name_that_does_not_exist_has_no_addresses() -> None:
    async with asking({}) as resolver:
        assert await resolver.lookup("gone.example") == Answer(frozenset(), 0)


@pytest.mark.parametrize("code", [2, 5])
async def test_a_name_server_that_fails_or_refuses_is_no_answer(code: int) -> None:
    async with asking({}, code) as resolver:
        assert isinstance(await resolver.lookup("models.example"), LookupFailed)


async def test_a_name_server_that_is_silent_is_no_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = DnsResolver([f"127.0.0.1:{silent.getsockname()[1]}"], 0.3)
        said = await resolver.lookup("models.example")
        await resolver.close()
    assert isinstance(said, LookupFailed)
