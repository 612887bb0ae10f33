"""The kill switch under load: with streams open and calls coming, everything is ended and refused within a second."""

import asyncio
import time
from pathlib import Path

import httpx2
import pytest

from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Wire, bare, call, headers_of, post, refusal_of, through_gateway
from tests.wire.test_reload import streamed

STREAMS, CALLERS = 40, 4
SECONDS = 1.0
SOCKET = "hopgate.db.admin"


async def follow(wire: Wire, opened: asyncio.Semaphore) -> tuple[float, str]:
    """When a stream ended, by the monotonic clock, and its last event."""
    message, last = streamed("slow"), ""
    async with wire.http.stream("POST", wire.url, json=message, headers=headers_of(message)) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data:"):
                last = line
                opened.release()
    return time.monotonic(), last


@pytest.mark.parametrize("target", [{"kind": "all"}, {"kind": "attribute", "attribute": "team", "value": "finance"}])
async def test_everything_is_over_within_a_second(tmp_path: Path, target: dict[str, str]) -> None:
    company, ledger = Company(tmp_path), Ledger()
    going, done = asyncio.Event(), asyncio.Event()
    permitted: list[float] = []
    refused: list[float] = []

    async def load() -> None:
        async with bare(company) as wire:
            while not done.is_set():
                answer = await post(wire, call("read_balance"))
                at = time.monotonic()
                if answer.status_code == 200:
                    permitted.append(at)
                    going.set()
                else:
                    assert refusal_of(answer)[2] == "revoked"
                    refused.append(at)

    transport = httpx2.AsyncHTTPTransport(uds=str(tmp_path / SOCKET))
    async with (
        through_gateway(company, ledger),
        bare(company) as wire,
        httpx2.AsyncClient(base_url="http://hopgate", transport=transport, timeout=20) as admin,
        asyncio.TaskGroup() as tasks,
    ):
        opened = asyncio.Semaphore(0)
        streams = [tasks.create_task(follow(wire, opened)) for _ in range(STREAMS)]
        callers = [tasks.create_task(load()) for _ in range(CALLERS)]
        async with asyncio.timeout(30):
            for _ in range(STREAMS):
                await opened.acquire()
            await going.wait()
        at = time.monotonic()
        made = await admin.post("/api/v1/revocations", json={"target": target, "reason": "drill"})
        acknowledged = time.monotonic()
        assert made.status_code == 201
        async with asyncio.timeout(20):
            ended = [await stream for stream in streams]
        done.set()
        await asyncio.gather(*callers)
    took = {
        "acknowledged": acknowledged - at,
        "last stream ended": max(when for when, _ in ended) - at,
        "last call permitted": max(permitted) - at,
        "first call refused": min(refused) - at,
    }
    print({name: f"{seconds * 1000:.0f} ms" for name, seconds in took.items()})
    assert all('"revoked"' in last for _, last in ended)
    assert max(took.values()) < SECONDS, took
