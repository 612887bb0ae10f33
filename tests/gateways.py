"""Running gateways and upstreams for tests, in the test's own event loop, over real TLS."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from gateway import app
from gateway.config.problems import Problems
from tests.company import Company


@asynccontextmanager
async def running(company: Company) -> AsyncIterator[app.Ports]:
    """The company's gateway, serving until the block ends."""
    published = app.prepare(company.write(), os.environ)
    assert not isinstance(published, Problems), str(published)
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(app.serve(published, os.environ, stop, ready.set_result))
        await asyncio.wait([ready, serving], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        try:
            yield ready.result()
        finally:
            stop.set()


@asynccontextmanager
async def asgi(application: Any, company: Company, svid: str, port: int) -> AsyncIterator[None]:
    """An ASGI application as an upstream of the company: HTTPS, with its SVID, for certificates of the company only."""
    config = uvicorn.Config(
        application, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1, **company.server(svid)
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield
        finally:
            server.should_exit = True
