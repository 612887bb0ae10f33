"""Running gateways, upstreams and clients for tests, over real TLS; all but ``served`` in the test's own event loop."""

import asyncio
import os
import re
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from gateway import app
from gateway.config.problems import Problems
from tests.company import Company
from tests.peers.process import ready_line, started
from tests.peers.process import stop as stop_process

HOPGATE = Path(sys.executable).with_name("hopgate")
"""The installed command."""


@asynccontextmanager
async def running(company: Company) -> AsyncIterator[app.Ports]:
    """The company's gateway, serving until the block ends."""
    published = app.prepare(company.write(), os.environ)
    assert not isinstance(published, Problems), str(published)
    control = app.Control(asyncio.Event(), asyncio.Event())
    ready = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(app.serve(company.config, published, os.environ, control, ready.set_result))
        await asyncio.wait([ready, serving], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
        try:
            yield ready.result()
        finally:
            control.stop.set()


class Announcing(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind, then announce it."""
        await super().startup(sockets)
        self.listening.set()


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
    async with listening(config):
        yield


@asynccontextmanager
async def listening(config: uvicorn.Config) -> AsyncIterator[None]:
    """A uvicorn server, from when it listens until the block ends."""
    server = Announcing(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        await server.listening.wait()
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
    company: Company,
    agent: str = "planner",
    server: str = "ledger",
    *,
    mode: str = "auto",
    token: str = "",
    **options: Any,
) -> AsyncIterator[Client]:
    """The official client, connected as ``agent``; by default with a fresh token of Maria's."""
    url = f"{company.data_url}/mcp/{server}"
    headers = {"Authorization": f"Bearer {token or company.token(url)}"}
    async with (
        httpx2.AsyncClient(verify=company.client(agent), headers=headers, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, **options) as client,
    ):
        yield client


@asynccontextmanager
async def serving(company: Company) -> AsyncIterator[asyncio.subprocess.Process]:
    """The company's gateway as a process that a test may signal: ready when the block begins, gone when it ends.

    Its output is ``gateway.log`` in the company's directory.
    """
    log = company.directory / "gateway.log"
    config = company.write()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            HOPGATE, "serve", "--config", config, stdout=output, stderr=asyncio.subprocess.STDOUT
        )
    try:
        await ready_line(process, log, "/readyz")
        yield process
    finally:
        await stop_process(process)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One HTTP request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


@dataclass
class Script:
    """An upstream of bare bytes: ``answer`` is what a connection does once its request was read."""

    answer: Callable[[asyncio.StreamWriter], Awaitable[None]]
    requests: list[bytes] = field(default_factory=list)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request and its answer; then the connection is closed."""
        with suppress(OSError, asyncio.IncompleteReadError):
            self.requests.append(await read_request(reader))
            await self.answer(writer)
        writer.close()


@asynccontextmanager
async def scripted(company: Company, svid: str | None, port: int, script: Script) -> AsyncIterator[None]:
    """``script`` as an upstream of the company; in plain TCP without ``svid``."""
    context = None
    if svid is not None:
        files = company.svid(svid)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.bundle))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(files.certificate, files.key)
    server = await asyncio.start_server(script.connected, "127.0.0.1", port, ssl=context)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
