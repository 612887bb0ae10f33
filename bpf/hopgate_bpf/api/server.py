"""Where the API listens, and framing. Who may call is ``api.callers``'s, what is done ``api.handlers``'s."""

import asyncio
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from hopgate_bpf.api.callers import Material, check_process
from hopgate_bpf.api.problem import problem
from hopgate_bpf.node.settings import Settings
from hopgate_bpf.rules.refusal import Reason, RefusedError

STOP_SECONDS = 1.0

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Connection(web.RequestHandler):
    """A connection whose broken requests are answered as the API answers, and never quoted."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The reply to a request that could not be parsed, or that failed."""
        reason = Reason.INTERNAL_ERROR if status >= 500 else Reason.HTTP_MALFORMED
        response = problem(RefusedError(reason, ""))
        response.force_close()
        return response


class _Server(web.Server):
    def __init__(self, handler: Any, **arguments: Any) -> None:
        # A caller that leaves doesn't undo what it asked for: the rules are applied whole.
        super().__init__(handler, handler_cancellation=False, **arguments)
        self._arguments = arguments

    def __call__(self) -> _Connection:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._arguments)


class Server:
    """The unix socket, and the TLS listener where there is one."""

    def __init__(self, settings: Settings, answer: Answer) -> None:
        self._settings = settings
        self._answer = answer
        self._runners: list[web.ServerRunner] = []

    async def start(self) -> None:
        """Listen everywhere.

        Raises:
            RefusedError: CONFIG_INVALID: something can't be listened at.
        """
        tls = self._settings.tls
        material = None if tls is None else Material(tls)
        await web.SockSite(
            await self._runner(self._of_socket), _bound(Path(self._settings.socket.path), self._mode)
        ).start()
        if tls is not None and material is not None:
            runner = await self._runner(self._answer)
            try:
                await web.TCPSite(runner, tls.host, tls.port, ssl_context=material.front()).start()
            except OSError as error:
                raise RefusedError(Reason.CONFIG_INVALID, f"tls: {tls.host}:{tls.port}: {error.strerror}") from None

    async def stop(self) -> None:
        """Let running requests end, and close."""
        for runner in self._runners:
            await runner.cleanup()

    async def _of_socket(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            check_process(request.get_extra_info("socket"), self._settings.socket.uids)
        except RefusedError as refused:
            response = problem(refused)
            response.force_close()
            return response
        return await self._answer(request)

    @property
    def _mode(self) -> int:
        # The process's user id decides in any case; nobody else need be able to hold a connection.
        return 0o600 if set(self._settings.socket.uids) <= {os.getuid()} else 0o666

    async def _runner(self, answer: Answer) -> web.ServerRunner:
        size = self._settings.limits.header_bytes
        server = _Server(
            answer,
            max_line_size=size,
            max_field_size=size,
            auto_decompress=False,
            access_log=None,
            lingering_time=1.0,
        )
        runner = web.ServerRunner(server, shutdown_timeout=STOP_SECONDS)
        await runner.setup()
        self._runners.append(runner)
        return runner


def _bound(path: Path, mode: int) -> socket.socket:
    """A socket at ``path``, in place of one that nobody listens at any more.

    Raises:
        RefusedError: CONFIG_INVALID: the path is taken, or can't be bound.
    """
    _clear(path)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(os.fsencode(path))
        path.chmod(mode)
    except OSError as error:
        bound.close()
        raise RefusedError(Reason.CONFIG_INVALID, f"socket.path: {path}: {error.strerror or error}") from None
    return bound


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise RefusedError(Reason.CONFIG_INVALID, f"socket.path: {path} is there already and no socket")
    except OSError:
        return
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect(os.fsencode(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise RefusedError(Reason.CONFIG_INVALID, f"socket.path: another hopgate-bpf listens at {path}")
