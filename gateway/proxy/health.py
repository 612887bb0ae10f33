"""The health listener: ``/livez``, ``/readyz``, ``/metrics``. Read-only, plain HTTP, for kubelet and Prometheus."""

from collections.abc import Callable, Mapping

import msgspec
from aiohttp import web
from msgspec import Struct


class Readiness(Struct, frozen=True):
    """Whether to send traffic here, and why not."""

    ready: bool
    generation: int
    digest: str
    configuration: str
    """``ok``, or why what is on disk is not in force; the last good generation serves all the same."""
    checks: Mapping[str, str]
    """Check → ``ok`` or what is wrong."""


class HealthListener:
    """Serves until ``stop``; it is the last thing to stop, so that a draining instance can be watched."""

    def __init__(self, readiness: Callable[[], Readiness], metrics: Callable[[], bytes]) -> None:
        self._readiness = readiness
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Bind and serve; the port in use."""
        application = web.Application()
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._exposition)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        state = self._readiness()
        return web.Response(
            status=200 if state.ready else 503, body=msgspec.json.encode(state), content_type="application/json"
        )

    async def _exposition(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
