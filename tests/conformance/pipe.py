"""A pipe from plain HTTP to the gateway: adds mutual TLS and a bearer token, and changes nothing else.

The conformance suite can show neither a certificate nor a token, and no listener of the gateway ever assumes an
identity. Header names, white space and bodies pass byte by byte: they are what the suite tests.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+) *\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
ENDS = (OSError, asyncio.IncompleteReadError)


@dataclass(frozen=True)
class Pipe:
    """Where a connection goes, and as whom."""

    host: str
    port: int
    context: ssl.SSLContext
    token: str

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        """Yields the port to connect to; connections end with the block."""
        listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            onward_reader, onward = await asyncio.open_connection(self.host, self.port, ssl=self.context)
            with closing(onward):
                async with asyncio.TaskGroup() as tasks:
                    requests = tasks.create_task(self._requests(reader, onward))
                    answers = tasks.create_task(_answers(onward_reader, writer))
                    # Either side's end is the other's: a client that leaves cancels its call.
                    await asyncio.wait((requests, answers), return_when=asyncio.FIRST_COMPLETED)
                    requests.cancel()
                    answers.cancel()

    async def _requests(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
        with suppress(*ENDS):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if CHUNKED.search(head):
                    raise ValueError("the pipe takes bodies of a known length only")
                length = LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                line, rest = head.split(b"\r\n", 1)
                onward.write(line + b"\r\nAuthorization: Bearer " + self.token.encode() + b"\r\n" + rest + body)
                await onward.drain()


async def _answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(*ENDS):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
