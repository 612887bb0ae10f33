"""Stopping: what runs may finish within the limit, what doesn't is cut and recorded, and the process ends well."""

import asyncio
import json
import re
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.core.audit import OutcomeRecord
from tests.company import Company
from tests.gateways import Script, scripted, serving
from tests.wire.agent import bearing, sending

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
PARTS = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "x" * 400}]}
EVENT = b"data: " + json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"message": PARTS}}).encode() + b"\n\n"
LIMIT = 0.5
STOPPED_SECONDS = 10


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@asynccontextmanager
async def streaming(
    company: Company, answer: Callable[[asyncio.StreamWriter], Awaitable[None]]
) -> AsyncIterator[Process]:
    """The gateway in front of an analyst that answers so."""
    async with scripted(company, "agent/analyst", company.upstreams["analyst"], Script(answer)), serving(company) as it:
        yield it


@asynccontextmanager
async def asked(company: Company) -> AsyncIterator[httpx.Response]:
    url = f"{company.data_url}/a2a/analyst"
    headers = bearing(company.token(url)) | {"A2A-Version": "1.0"}
    http = httpx.AsyncClient(verify=company.client("planner"), headers=headers, timeout=20)
    async with http, http.stream("POST", url, json=sending("go", "SendStreamingMessage")) as response:
        yield response


async def until_draining(company: Company) -> dict[str, Any]:
    async with httpx.AsyncClient() as http, asyncio.timeout(STOPPED_SECONDS):
        while True:
            response = await http.get(f"http://127.0.0.1:{company.health_port}/readyz")
            if response.status_code == 503:
                return dict(response.json())


async def ended(gateway: Process) -> int:
    async with asyncio.timeout(STOPPED_SECONDS):
        return await gateway.wait()


def outcome(company: Company) -> OutcomeRecord:
    [found] = company.records()
    assert found.outcome is not None
    return found.outcome


async def test_a_running_stream_finishes_and_nothing_new_begins(company: Company) -> None:
    go_on = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + EVENT)
        await go_on.wait()
        writer.write(EVENT)

    async with streaming(company, answer) as gateway, asked(company) as response:
        lines = response.aiter_lines()
        assert (await anext(lines)).startswith("data: ")
        gateway.send_signal(signal.SIGTERM)
        state = await until_draining(company)
        assert (state["ready"], state["checks"]["listeners"]) == (False, "draining")
        with pytest.raises(httpx.ConnectError):
            async with asked(company):
                pass
        go_on.set()
        rest = [line async for line in lines if line]
        assert await ended(gateway) == 0
    assert len(rest) == 1
    assert "result" in json.loads(rest[0].removeprefix("data: "))
    assert (outcome(company).ok, outcome(company).events) == (True, 2)


async def test_a_stream_beyond_the_limit_is_cut_and_recorded(company: Company) -> None:
    company.settings["limits"] = {"graceful_stop_seconds": LIMIT}

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + EVENT)
        await writer.wait_closed()

    async with streaming(company, answer) as gateway, asked(company) as response:
        lines = response.aiter_lines()
        await anext(lines)
        gateway.send_signal(signal.SIGTERM)
        with pytest.raises(httpx.RemoteProtocolError):
            # A stream that ended well could be taken for the whole answer.
            [line async for line in lines]
        assert await ended(gateway) == 0
    assert (outcome(company).ok, outcome(company).reason) == (False, "draining")


async def test_a_client_that_does_not_read_holds_nothing_up(company: Company) -> None:
    company.settings["limits"] = {"graceful_stop_seconds": LIMIT}
    stuck = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        while not writer.transport.is_closing():
            writer.write(EVENT * 100)
            try:
                async with asyncio.timeout(0.5):
                    await writer.drain()
            except TimeoutError:
                stuck.set()

    async with streaming(company, answer) as gateway, asked(company):
        # All buffers between the upstream and this client are full now.
        await stuck.wait()
        gateway.send_signal(signal.SIGTERM)
        assert await ended(gateway) == 0
    assert (outcome(company).ok, outcome(company).reason) == (False, "draining")


async def test_an_answer_that_has_not_begun_is_cut_too(company: Company) -> None:
    company.settings["limits"] = {"graceful_stop_seconds": LIMIT}
    arrived = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await writer.wait_closed()

    async def ask() -> None:
        with pytest.raises(httpx.TransportError):
            async with asked(company):
                pass

    async with streaming(company, answer) as gateway, asyncio.TaskGroup() as tasks:
        tasks.create_task(ask())
        await arrived.wait()
        gateway.send_signal(signal.SIGTERM)
        assert await ended(gateway) == 0
    assert (outcome(company).ok, outcome(company).reason) == (False, "draining")


async def test_a_free_port_is_picked_and_printed(company: Company) -> None:
    company.settings["listen"]["health"]["port"] = 0
    async with serving(company) as gateway:
        log = (company.directory / "gateway.log").read_text()
        [url] = re.findall(r"http://127\.0\.0\.1:\d+/readyz", log)
        async with httpx.AsyncClient() as http:
            assert (await http.get(url)).status_code == 200
        gateway.send_signal(signal.SIGINT)
        assert await ended(gateway) == 0
    assert f"data    {company.data_url} (port {company.data_port}, client certificate required)" in log
