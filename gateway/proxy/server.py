"""The listeners: aiohttp carries HTTP/1.1, this file turns it into an ``Exchange`` and an ``Answer`` back.

The only file that knows the server's HTTP library. Decides nothing but framing: body size and time,
and that a client that leaves cancels its hop.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any, cast

from aiohttp import web
from msgspec import Struct

from gateway.core.limits import Limits
from gateway.core.model import Peer
from gateway.core.reasons import Reason
from gateway.listening import headers_of, read_body
from gateway.protocols.base import Refusal
from gateway.proxy.exchange import Answer, Exchange, Listener
from gateway.proxy.problem import problem

SERVER = "hopgate"
CUT_SECONDS = 1.0
"""Time for a hop that is ended to write its outcome, and for a connection to close."""
PIECE_BYTES = 256 * 1024
"""Larger bodies are written piece by piece: TLS takes one write of any size without waiting for the client."""
WRITE_BUFFER_BYTES = 64 * 1024
Handle = Callable[[Exchange], Awaitable[Answer]]
OnMalformed = Callable[[str, Peer | None], None]
"""Told the kind of each request that isn't HTTP, and whose it was; such a request has no head to record."""


class Tls(Struct, frozen=True):
    """A listener's TLS context, and who is at the other end of one of its connections (its ``ssl_object``)."""

    context: SSLContext
    peer_of: Callable[[object], Peer | None]


class _Connection(web.RequestHandler):
    """A connection whose broken requests are answered as the gateway answers, and never quoted in a log."""

    on_malformed: OnMalformed
    peer_of: Callable[[object], Peer | None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hold little for a client that reads slowly; TLS would hold half a megabyte."""
        super().connection_made(transport)
        cast(asyncio.WriteTransport, transport).set_write_buffer_limits(WRITE_BUFFER_BYTES)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The reply to a request that could not be parsed, or whose answer could not be written."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        reason = Reason.INTERNAL_ERROR if status >= 500 else Reason.HTTP_MALFORMED
        connection = None if self.transport is None else self.transport.get_extra_info("ssl_object")
        self.on_malformed(type(exc).__name__, None if connection is None else self.peer_of(connection))
        reply = problem(Refusal(reason=reason))
        headers = {**dict(reply.headers), "Server": SERVER}
        response = web.Response(status=reply.status, body=reply.body, headers=headers)
        response.force_close()
        return response


class _Server(web.Server):
    def __init__(self, handler: Any, *, on_malformed: OnMalformed, tls: Tls, **arguments: Any) -> None:
        super().__init__(handler, **arguments)
        self._on_malformed = on_malformed
        self._tls = tls
        self._arguments = {name: value for name, value in arguments.items() if name != "handler_cancellation"}

    def __call__(self) -> _Connection:
        connection = _Connection(self, loop=asyncio.get_running_loop(), **self._arguments)
        connection.on_malformed = self._on_malformed
        connection.peer_of = self._tls.peer_of
        return connection


class HttpListener:
    """One bound port. ``start`` binds; ``drain`` lets running hops finish; ``stop`` ends those that don't."""

    def __init__(self, name: Listener, handle: Handle, tls: Tls, limits: Limits, on_malformed: OnMalformed) -> None:
        self._name = name
        self._on_malformed = on_malformed
        self._handle = handle
        self._tls = tls
        self._limits = limits
        self._runner: web.ServerRunner | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def start(self, host: str, port: int) -> int:
        """Bind and serve; the port in use, which the kernel picked where ``port`` is 0."""
        server = _Server(
            self._serve,
            on_malformed=self._on_malformed,
            tls=self._tls,
            handler_cancellation=True,
            max_line_size=self._limits.header_bytes,
            max_field_size=self._limits.header_bytes,
            auto_decompress=False,
            access_log=None,
            lingering_time=1.0,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=CUT_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=self._tls.context, backlog=1024)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def drain(self) -> None:
        """Accept nothing new; wait for running hops, at most ``graceful_stop_seconds``."""
        if self._runner is None or self._runner.server is None:
            return
        for site in tuple(self._runner.sites):
            await site.stop()
        self._runner.server.pre_shutdown()
        if self._running:
            await asyncio.wait(self._running, timeout=self._limits.graceful_stop_seconds)

    async def stop(self) -> None:
        """End the hops that still run, wait until their outcomes are written, and close every connection."""
        for hop in self._running:
            hop.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CUT_SECONDS)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        hop = asyncio.current_task()
        if hop is not None:
            self._running.add(hop)
            hop.add_done_callback(self._running.discard)
        exchange = self._exchange(request)
        answer = await self._handle(exchange)
        try:
            return await self._answer(request, exchange, answer)
        finally:
            answer.done()

    async def _answer(self, request: web.BaseRequest, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        body = answer.body
        if not isinstance(body, bytes):
            return await self._stream(request, answer, body)
        if len(body) > PIECE_BYTES:
            return await self._stream(request, answer, _pieces(body), length=len(body))
        response = web.Response(status=answer.status, body=body)
        _set_headers(response, answer)
        if exchange.peer is None and self._name == "data":
            # What comes next on it would be refused as well; a new connection may prove somebody.
            response.force_close()
        return response

    async def _stream(
        self, request: web.BaseRequest, answer: Answer, body: AsyncIterator[bytes], length: int | None = None
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        response.content_length = length
        _set_headers(response, answer)
        try:
            await response.prepare(request)
            async for piece in body:
                async with self._read_by_client(request):
                    await response.write(piece)
            await response.write_eof()
        finally:
            # The generator closes the upstream and writes the outcome, whoever ended the stream.
            await body.aclose()  # type: ignore[attr-defined]
        return response

    @asynccontextmanager
    async def _read_by_client(self, request: web.BaseRequest) -> AsyncIterator[None]:
        """Drops the connection of a client that reads nothing: what it was sent would be kept for it for ever."""
        try:
            async with asyncio.timeout(self._limits.idle_stream_seconds):
                yield
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise

    def _exchange(self, request: web.BaseRequest) -> Exchange:
        async def read(most: int, seconds: float) -> bytes:
            return await read_body(request, most, seconds)

        connection = request.get_extra_info("ssl_object")
        peer = self._tls.peer_of(connection)

        def vouched() -> bool:
            return self._tls.peer_of(connection) is not None if self._name == "data" else True

        headers = headers_of(request)
        version = (request.version.major, request.version.minor)
        return Exchange(self._name, request.method, request.raw_path, headers, peer, vouched, read, version)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


def _set_headers(response: web.StreamResponse, answer: Answer) -> None:
    for name, value in answer.headers:
        response.headers.add(name, value)
    response.headers["Server"] = SERVER
    if answer.status == Reason.BODY_TOO_LARGE.status or answer.status == Reason.BODY_SLOW.status:
        response.force_close()
