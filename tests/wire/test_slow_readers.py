"""Clients that ask and then don't read: what is kept for them is bounded, others go on, and they are dropped."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import pytest_asyncio

from gateway.core.audit import OutcomeRecord
from tests.company import Company
from tests.gateways import Script, running, scripted
from tests.wire.mcp_calls import bare, call, headers_of, post

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAUSE_SECONDS = 0.5
MOST_BYTES = 16 * 1024 * 1024
"""On the way at once, nearly all of it in the kernel's buffers of two connections; a leak soon holds more."""
READ = call("read_balance")
EVENT = (
    b"data: %b\n\n"
    % json.dumps(
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "message": "x" * 60_000}}
    ).encode()
)
ANSWER = json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"content": [], "big": "x" * 15_000_000}}).encode()
Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def company(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    made = Company(tmp_path_factory.mktemp("company"))
    made.settings["limits"] = {"idle_stream_seconds": PAUSE_SECONDS}
    async with running(made):
        yield made


@asynccontextmanager
async def not_reading(company: Company) -> AsyncIterator[asyncio.StreamReader]:
    """A client that has sent its call and reads no more than its buffer of 1 KiB until the test does."""
    url = f"{company.data_url}/mcp/ledger"
    body = json.dumps(READ).encode()
    headers = {**headers_of(READ), "Authorization": f"Bearer {company.token(url)}", "Content-Length": str(len(body))}
    head = ["POST /mcp/ledger HTTP/1.1", f"Host: 127.0.0.1:{company.data_port}"]
    lines = [*head, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    connection = socket.socket()
    # The kernel would take many megabytes in the client's place.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", company.data_port))
    reader, writer = await asyncio.open_connection(
        sock=connection, ssl=company.client("planner"), server_hostname="127.0.0.1", limit=1024
    )
    writer.write("\r\n".join(lines).encode() + body)
    try:
        yield reader
    finally:
        writer.transport.abort()


async def rest(reader: asyncio.StreamReader) -> int:
    """Bytes that still arrive until the connection ends."""
    count = 0
    with suppress(OSError):
        while piece := await reader.read(65_536):
            count += len(piece)
    return count


async def test_a_stream_nobody_reads_is_held_back_then_dropped(company: Company) -> None:
    written, dropped = 0, asyncio.Event()

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        try:
            while True:
                writer.write(EVENT)
                await writer.drain()
                written += len(EVENT)
        finally:
            dropped.set()

    async with (
        scripted(company, "server/ledger", company.upstreams["ledger"], Script(endless)),
        not_reading(company),
        asyncio.timeout(20),
    ):
        await dropped.wait()
        outcome = await last_outcome(company)
    assert 0 < written < MOST_BYTES
    assert (outcome.ok, outcome.reason) == (False, "client_closed")


async def test_a_body_nobody_reads_is_dropped(company: Company) -> None:
    async def large(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER))
        writer.write(ANSWER)
        await writer.drain()

    async with scripted(company, "server/ledger", company.upstreams["ledger"], Script(large)):
        async with not_reading(company) as reader, asyncio.timeout(20):
            # Longer than a client may pause.
            await asyncio.sleep(4 * PAUSE_SECONDS)
            assert await rest(reader) < len(ANSWER)
        async with bare(company) as wire:
            reply = await post(wire, READ)
            assert len(reply.content) > 15_000_000, "who reads gets it all"


async def test_others_go_on_beside_those_who_do_not_read(company: Company) -> None:
    asked, all_asked = 0, asyncio.Event()

    async def turns(writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 10:
            all_asked.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for _ in range(10 if asked > 10 else 10_000):
            writer.write(EVENT)
            await writer.drain()
        answer = json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"content": []}}).encode()
        writer.write(b"data: " + answer + b"\n\n")
        await writer.drain()

    script = Script(turns)
    async with (
        scripted(company, "server/ledger", company.upstreams["ledger"], script),
        AsyncExitStack() as stack,
        asyncio.timeout(20),
    ):
        for _ in range(10):
            await stack.enter_async_context(not_reading(company))
        await all_asked.wait()
        async with bare(company) as wire:
            for _ in range(5):
                reply = await post(wire, READ)
                assert reply.content.count(b"data: ") == 11


async def last_outcome(company: Company) -> OutcomeRecord:
    """Of the newest decided hop, once it is written."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 5
    # Another thread writes it, and says nothing.
    while (found := company.records()[-1].outcome) is None and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert found is not None
    return found
