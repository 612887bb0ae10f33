"""Running gateways, upstreams and clients for tests, over real TLS; all but ``served`` in the test's own event loop."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from gateway import app
from gateway.config.problems import Problems
from tests.company import Company
from tests.peers.process import started

HOPGATE = Path(sys.executable).with_name("hopgate")
"""The installed command."""


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
        application,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
        **company.server(svid),
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


@asynccontextmanager
async def served(config: Path, environ: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    """``hopgate serve`` as a process of its own, ready for calls until the block ends."""
    async with started([HOPGATE, "serve", "--config", config], ready="/readyz", env=environ):
        yield


@asynccontextmanager
async def mcp_client(
    company: Company, agent: str = "planner", server: str = "ledger", *, mode: str = "auto", token: str = ""
) -> AsyncIterator[Client]:
    """The official client, connected as ``agent``; by default with a fresh token of Maria's."""
    url = f"{company.data_url}/mcp/{server}"
    headers = {"Authorization": f"Bearer {token or company.token(url)}"}
    async with (
        httpx2.AsyncClient(verify=company.client(agent), headers=headers, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client
