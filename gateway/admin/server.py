"""The admin listeners: TLS with an optional client certificate, and the Unix socket of the gateway's own user.

The only file of the admin API that knows its HTTP library. Decides framing, and that a socket's peer is who runs
the gateway: another user's process is closed without an answer.
"""

import asyncio
import os
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from ssl import SSLContext
from typing import Any

from aiohttp import web

from gateway.admin.problem import problem
from gateway.admin.request import AdminAnswer, AdminRequest, SocketPeer, Via
from gateway.core.errors import HopError
from gateway.core.model import Peer
from gateway.core.reasons import Reason
from gateway.listening import headers_of, read_body

SERVER = "hopgate"
HEADER_BYTES = 16 * 1024
STOP_SECONDS = 1.0
_CREDENTIALS = struct.Struct("3i")
"""pid, uid, gid (unix(7), SO_PEERCRED)."""
_NAME_BYTES = 107
"""Longest path that a socket address holds."""

Handle = Callable[[AdminRequest], Awaitable[AdminAnswer]]
PeerOf = Callable[[object], Peer | None]


class SocketTakenError(Exception):
    """The path of the admin socket is of something else, or of another gateway."""


class _Connection(web.RequestHandler):
    """A connection whose broken requests are answered as the API answers, and never quoted."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The reply to a request that could not be parsed."""
        reason = Reason.INTERNAL_ERROR if status >= 500 else Reason.HTTP_MALFORMED
        response = _response(problem(HopError(reason), ""))
        response.force_close()
        return response


class _Server(web.Server):
    def __init__(self, handler: Any, **arguments: Any) -> None:
        # A client that leaves doesn't undo what it asked for: half a revocation is worse than an unread answer.
        super().__init__(handler, handler_cancellation=False, **arguments)
        self._arguments = arguments

    def __call__(self) -> _Connection:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._arguments)


class AdminListener:
    """One way in: ``start`` for TLS, ``start_socket`` for the host's own."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._runner: web.ServerRunner | None = None
        self._own: asyncio.AbstractServer | None = None
        self._peer_of: PeerOf = lambda connection: None

    async def start(self, host: str, port: int, tls: SSLContext, peer_of: PeerOf) -> int:
        """Bind and serve; the port in use. ``peer_of`` says who showed a certificate on a connection."""
        self._peer_of = peer_of
        runner = await self._set_up(self._serve)
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        bound: int = runner.addresses[0][1]
        return bound

    async def start_socket(self, path: Path) -> None:
        """Serve at ``path``, for processes of this user only.

        Raises:
            SocketTakenError: the path is taken.
            OSError: it can't be bound.
        """
        runner = await self._set_up(self._serve_own)
        if runner.server is not None:
            # The library's own site gives a bound socket to create_server, which not every loop takes for this kind.
            self._own = await asyncio.get_running_loop().create_unix_server(runner.server, sock=_bound(path))

    async def stop(self) -> None:
        """Let running requests end, and close the way in."""
        if self._own is not None:
            self._own.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _set_up(self, serve: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> web.ServerRunner:
        server = _Server(
            serve,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            auto_decompress=False,
            access_log=None,
            lingering_time=1.0,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=STOP_SECONDS)
        await self._runner.setup()
        return self._runner

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        peer = self._peer_of(request.get_extra_info("ssl_object"))
        return _response(await self._handle(_request(request, peer, None)))

    async def _serve_own(self, request: web.BaseRequest) -> web.StreamResponse:
        process, uid, _ = _CREDENTIALS.unpack(
            request.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if uid != os.getuid():
            raise ConnectionAbortedError("the process is of another user")
        return _response(await self._handle(_request(request, None, SocketPeer(uid, process, _name_of(uid)))))


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A socket's address: its path, or, where that is longer than an address may be, one through its folder."""
    if len(os.fsencode(path)) <= _NAME_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _bound(path: Path) -> socket.socket:
    with reachable(path) as address:
        _clear(path, address)
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(address)
            # Nobody connects before it listens, so nobody does before this.
            path.chmod(0o600)
        except OSError:
            bound.close()
            raise
    bound.setblocking(False)
    return bound


def _clear(path: Path, address: str) -> None:
    """Remove what a gateway that was killed has left."""
    if not path.is_socket():
        if path.exists():
            raise SocketTakenError(f"{path} is there, and no socket; name another path")
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address)
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise SocketTakenError(f"another gateway serves {path}; give each one a store of its own")


def _request(request: web.BaseRequest, peer: Peer | None, own: SocketPeer | None) -> AdminRequest:
    async def read(most: int, seconds: float) -> bytes:
        return await read_body(request, most, seconds)

    headers = headers_of(request)
    via: Via = "tls" if own is None else "socket"
    return AdminRequest(via, request.method, request.raw_path, headers, peer, own, read)


def _response(answer: AdminAnswer) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body or None)
    for name, value in answer.headers:
        response.headers.add(name, value)
    response.headers["Server"] = SERVER
    response.headers["X-Content-Type-Options"] = "nosniff"
    if answer.status in (Reason.BODY_TOO_LARGE.status, Reason.BODY_SLOW.status):
        response.force_close()
    return response


def _name_of(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
