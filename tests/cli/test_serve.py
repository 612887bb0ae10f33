"""``hopgate serve`` as an operator meets it: what stops it from starting, what overrides do, and how it ends."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.core.audit import verify
from gateway.store.query import AuditReader, Filters
from tests.company import Company
from tests.gateways import HOPGATE, asgi, mcp_client
from tests.ports import free_port
from tests.wire.ledger import Ledger


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


def refused(config: Path, **environ: str) -> list[str]:
    """The lines of a ``serve`` that doesn't start."""
    done = subprocess.run(
        [HOPGATE, "serve", "--config", config],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr.splitlines()


@asynccontextmanager
async def serving(company: Company, **environ: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str]]]:
    """A running ``serve``, and the three lines that it said when it was ready."""
    process = await asyncio.create_subprocess_exec(
        HOPGATE, "serve", "--config", company.write(), stderr=asyncio.subprocess.PIPE, env={**os.environ, **environ}
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            said = [(await process.stderr.readline()).decode().rstrip() for _ in range(3)]
        yield process, said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ready(port: int) -> tuple[int, str]:
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}/readyz") as response:
        return response.status, await response.text()


def test_every_problem_is_told_before_anything_is_bound_or_made(company: Company) -> None:
    company.settings["listen"]["data"]["prot"] = 1
    company.settings["version"] = 2
    company.registry["agents"]["planner"]["team"] = "finanze"
    config = company.write()
    lines = refused(config)
    text = config.read_text().splitlines()
    version = next(n for n, line in enumerate(text, 1) if '"version"' in line)
    prot = next(n for n, line in enumerate(text, 1) if '"prot"' in line)
    assert [line.split(": ")[:2] for line in lines[:2]] == [
        [f"{config}:{version}", "version"],
        [f"{config}:{prot}", "listen.data.prot"],
    ]
    assert lines[2].startswith(f"{company.directory}/registry.yaml:")
    assert 'did you mean "finance"?' in lines[2]
    assert len(lines) == 3
    assert not (company.directory / "signing.pem").exists()
    assert not (company.directory / "ca" / "hopgate.pem").exists()
    assert not list(company.directory.glob("hopgate.db*"))


def test_production_refuses_the_development_identity(company: Company) -> None:
    lines = refused(company.write(), HOPGATE__ENVIRONMENT="production")
    assert any("identity.source" in line and "development" in line for line in lines)
    assert not (company.directory / "ca" / "hopgate.pem").exists()


@pytest.mark.parametrize("listener", ["data", "health"])
def test_a_port_in_use_is_one_clear_line(company: Company, listener: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lines = refused(company.write(), **{f"HOPGATE__LISTEN__{listener.upper()}__PORT": str(port)})
    (line,) = lines
    assert line.startswith(f"hopgate serve: listen.{listener}: 127.0.0.1:{port}: ")
    assert "address already in use" in line.lower()


def test_a_store_that_cannot_be_opened_is_one_clear_line(company: Company) -> None:
    company.settings["store"]["url"] = "sqlite:///policies"
    (line,) = refused(company.write())
    assert "gateway.yaml: store.url: " in line
    assert "correct its URL" in line


def test_an_override_that_fits_no_setting_is_an_error(company: Company) -> None:
    (line,) = refused(company.write(), HOPGATE__LISTEN__HEALTH__PROT="1")
    assert line.startswith("environment: HOPGATE__LISTEN__HEALTH__PROT: no setting has this name")
    assert "PORT" in line


async def test_an_override_moves_the_health_port(company: Company) -> None:
    port = free_port()
    async with serving(company, HOPGATE__LISTEN__HEALTH__PORT=str(port)) as (process, said):
        assert (await ready(port))[0] == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await ready(company.health_port)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert said == [
        f"data    {company.data_url} (port {company.data_port}, client certificate required)",
        f"public  {company.public_url} (port {company.public_port})",
        f"health  http://127.0.0.1:{port}/readyz",
    ]


async def test_sigterm_drains_an_open_stream_ends_and_leaves_a_log_that_verifies(company: Company) -> None:
    ledger, begun = Ledger(), asyncio.Event()

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    async with (
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        serving(company) as (process, _),
        mcp_client(company) as client,
        asyncio.TaskGroup() as tasks,
    ):
        await client.list_tools()  # or the client asks for the result's schema when no connection is taken any more
        call = tasks.create_task(client.call_tool("count", {"to": 100}, progress_callback=progressed))
        await begun.wait()
        process.send_signal(signal.SIGTERM)
        status, state = await until_draining(company.health_port)
        assert (status, '"listeners":"draining"' in state) == (503, True)
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.open_connection("127.0.0.1", company.data_port, ssl=company.client("analyst"))
        result = await call
        assert await process.wait() == 0
    assert result.structured_content == {"result": 100}
    records = AuditReader(f"sqlite:///{company.directory}/hopgate.db")
    (hop,) = records.query(Filters(action="invokeTool")).found
    assert hop.outcome is not None
    assert (hop.outcome.ok, hop.outcome.status) == (True, 200)
    assert verify(records.rows(), (), None).ok


async def until_draining(port: int) -> tuple[int, str]:
    """The first answer that is not 200; a signal has no reply to wait for."""
    async with asyncio.timeout(5):
        while (found := await ready(port))[0] == 200:
            pass
    return found
