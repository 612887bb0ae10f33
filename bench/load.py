"""The load of all legs: keep-alive connections over mutual TLS, each with one request under way at a time.

    python -m bench.load PORT REQUEST-FILE CERTIFICATE KEY CA CONNECTIONS SECONDS

Prints one JSON object: requests answered, those not answered with 200 and the expected text, seconds, and
latencies in microseconds. Stops sending when the time is up and waits for what is under way, so that
the count can be compared with the upstream's.
"""

import asyncio
import json
import sys
import time
from array import array
from pathlib import Path
from typing import cast

import httptools
import uvloop

from bench.identities import client_context
from bench.workload import ANSWER_TEXT
from gateway.identity.dev import IssuedFiles

GRACE_SECONDS = 10.0


class Tally:
    """What all connections saw."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.wrong = 0
        self.first_wrong = ""
        self.latencies = array("d")


class Asking(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again until the deadline."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._asked = 0.0
        self._body = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def ask(self) -> None:
        assert self._transport is not None
        self._asked = time.perf_counter()
        self._body = b""
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        tally = self._tally
        tally.latencies.append(now - self._asked)
        status = self._parser.get_status_code()
        if status != 200 or ANSWER_TEXT not in self._body:
            tally.wrong += 1
            tally.first_wrong = tally.first_wrong or f"{status} {self._body[:300]!r}"
        if now < tally.deadline:
            self.ask()
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"connection lost before its answer: {exc}"))


async def run(port: int, request: bytes, own: IssuedFiles, connections: int, seconds: float) -> dict[str, object]:
    """Open all connections first, so that no handshake is measured; then ask until the time is up."""
    loop, context = asyncio.get_running_loop(), client_context(own)
    tally = Tally(0.0)
    asking = []
    for _ in range(connections):
        _, protocol = await loop.create_connection(
            lambda: Asking(request, tally), "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        asking.append(protocol)
    print("connected", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    start = time.perf_counter()
    tally.deadline = start + seconds
    for one in asking:
        one.ask()
    async with asyncio.timeout(seconds + GRACE_SECONDS):
        await asyncio.gather(*(one.done for one in asking))
    elapsed = time.perf_counter() - start
    ordered = sorted(tally.latencies)
    return {
        "requests": len(ordered),
        "wrong": tally.wrong,
        "first_wrong": tally.first_wrong,
        "seconds": elapsed,
        "p50_us": 1e6 * ordered[len(ordered) // 2],
        "p99_us": 1e6 * ordered[len(ordered) * 99 // 100],
    }


if __name__ == "__main__":
    port, request_file, certificate, key, ca, connections, seconds = sys.argv[1:]
    files = IssuedFiles(Path(certificate), Path(key), Path(ca))
    print(
        json.dumps(uvloop.run(run(int(port), Path(request_file).read_bytes(), files, int(connections), float(seconds))))
    )
