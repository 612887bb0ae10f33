"""A listener whose identity rotates, and callers that look at it closely."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from gateway.identity.material import Material
from gateway.identity.rotation import RotatingServer
from tests.identity.pki import World

HOPGATE = "spiffe://a.test/hopgate"


def only_a(world: World) -> Material:
    """The gateway's material once the other domain's root is gone."""
    return Material(world.leaf(HOPGATE).pair, {"a.test": (world.a.certificate,)})


@asynccontextmanager
async def gate(server: RotatingServer) -> AsyncIterator[int]:
    """A listener that answers each request with who its connection's peer is by today's bundles."""

    async def answer(request: web.BaseRequest) -> web.Response:
        peer = server.peer_of(request.get_extra_info("ssl_object"))
        return web.Response(text="nobody" if peer is None else peer.spiffe_id)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server.context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def kept_alive(context: ssl.SSLContext, port: int) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Requests over one connection, opened now."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="")

    async def ask() -> str:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return (await reader.readexactly(int(length.split(b":")[1]))).decode()

    try:
        yield ask
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def shown(port: int, context: ssl.SSLContext) -> bytes:
    """DER of the certificate that the listener shows now."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="")
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    assert isinstance(der, bytes)
    return der


class Half:
    """One end of a TLS connection in memory."""

    def __init__(self, context: ssl.SSLContext, server_side: bool = False) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.connection = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side)
        self.done = False

    def step(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self.connection.do_handshake()
            self.done = True

    def take(self, other: "Half") -> None:
        self.incoming.write(other.outgoing.read())
