"""The upstream of all legs: raw asyncio and llhttp over mutual TLS, one constant answer, and a count.

    python -m bench.upstream PORT CERTIFICATE KEY CA

Says ``ready``, then answers each line on its input with the number of requests served so far.
"""

import asyncio
import sys
from pathlib import Path
from typing import cast

import httptools
import uvloop

from bench.identities import server_context
from bench.workload import answer
from gateway.identity.dev import IssuedFiles


class Count:
    """Requests served, over all connections."""

    def __init__(self) -> None:
        self.served = 0


class Answering(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, count: Count, reply: bytes) -> None:
        self._count = count
        self._reply = reply
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._count.served += 1
        if self._transport is not None:
            self._transport.write(self._reply)


async def serve(port: int, own: IssuedFiles) -> None:
    count, reply = Count(), answer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Answering(count, reply), "127.0.0.1", port, ssl=server_context(own), backlog=1024
    )
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print("ready", flush=True)
    async with server:
        while await commands.readline():
            print(count.served, flush=True)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), IssuedFiles(*map(Path, sys.argv[2:5]))))
