"""Many open streams on one worker: their memory, and whether any of them, or a plain call beside them, stalls.

    python -m bench.streams [--streams 1000] [--silent 50] [--ticks 20]

Every stream is a tool call that the upstream answers with a progress event each half second (one tick) and, at the
end, with the result. ``--silent`` clients more open a stream of large events and never read. Prints memory a stream,
the delay of events from the upstream to the client, and the time of plain calls meanwhile.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from bench.hopgate_leg import hopgate
from bench.identities import Identities, client_context, issue, server_context
from bench.legs import Leg
from bench.processes import cores, free_port, running, wait_for_port
from bench.workload import ANSWER_TEXT, answer_body, call, encode, request
from gateway.identity.dev import IssuedFiles

TICK_SECONDS = 0.5
OPENING_AT_ONCE = 50
STREAM, SILENT = "stream", "silent"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
MIB = 1024 * 1024


def event(message: bytes) -> bytes:
    return b"data: " + message + b"\n\n"


def progress(text: str) -> bytes:
    params = {"progressToken": 1, "progress": 1, "message": text}
    return event(encode({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))


async def upstream(port: int, own: IssuedFiles, ticks: int) -> None:
    """A tool whose question says how it answers: as a stream, as a stream without end, or at once."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            question = json.loads(await reader.readexactly(length))["params"]["arguments"]["question"]
            await answered(writer, question)
        writer.close()

    async def answered(writer: asyncio.StreamWriter, question: str) -> None:
        writer.write(HEAD)
        if question == SILENT:
            while True:
                writer.write(progress("x" * 32_000))
                await writer.drain()
        for _ in range(ticks if question == STREAM else 0):
            writer.write(progress(str(time.monotonic())))
            await asyncio.sleep(TICK_SECONDS)
        writer.write(event(answer_body()))
        await writer.drain()

    server = await asyncio.start_server(connected, "127.0.0.1", port, ssl=server_context(own), backlog=2048)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


class Load:
    """The clients of one run."""

    def __init__(self, leg: Leg, own: IssuedFiles) -> None:
        self._leg = leg
        self._context = client_context(own)
        self._opening = asyncio.Semaphore(OPENING_AT_ONCE)
        self.delays: list[float] = []
        self.open, self.expected = 0, -1
        self.all_open = asyncio.Event()

    async def connect(self, question: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Ask, and wait for the answer's head."""
        connection = socket.socket()
        if question == SILENT:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        connection.setblocking(False)
        async with self._opening:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self._leg.port))
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=self._context, server_hostname="localhost"
            )
            host = f"localhost:{self._leg.port}"
            head = request(self._leg.path, host, self._leg.token).partition(b"\r\n\r\n")[0].decode().split("\r\n")
            body = call(question)
            lines = [line if "Content-Length" not in line else f"Content-Length: {len(body)}" for line in head]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            status = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in status:
                raise RuntimeError(f"{status!r} {await reader.read(2000)!r}")
        self.open += 1
        if self.open == self.expected:
            self.all_open.set()
        return reader, writer

    async def stream(self) -> None:
        """One stream to its end."""
        reader, writer = await self.connect(STREAM)
        while ANSWER_TEXT not in (line := await reader.readline()):
            if b'"message":"' in line:
                self.delays.append(time.monotonic() - float(line.partition(b'"message":"')[2].partition(b'"')[0]))
            elif not line:
                raise RuntimeError("a stream ended without its answer")
        writer.close()

    async def plain(self) -> float:
        """Seconds of one call on a connection of its own, handshake included."""
        began = time.monotonic()
        reader, writer = await self.connect("plain")
        while ANSWER_TEXT not in await reader.readline():
            pass
        writer.close()
        return time.monotonic() - began


async def run(leg: Leg, own: IssuedFiles, gateway: int, options: argparse.Namespace) -> dict[str, float]:
    load = Load(leg, own)
    for _ in range(20):
        await load.plain()
    before, load.open = resident(gateway), 0
    load.expected = options.streams
    async with asyncio.TaskGroup() as tasks:
        for _ in range(options.streams):
            tasks.create_task(load.stream())
        await load.all_open.wait()
        opened, load.delays = resident(gateway), []
        silent = [await load.connect(SILENT) for _ in range(options.silent)]
        plain = [await load.plain() for _ in range(20)]
        held = resident(gateway)
        for _, writer in silent:
            writer.transport.abort()
    delays = sorted(load.delays)
    return {
        "streams": options.streams,
        "kib_per_stream": (opened - before) / 1024 / options.streams,
        "mib_before": before / MIB,
        "mib_open": opened / MIB,
        "silent": options.silent,
        "kib_per_silent": (held - opened) / 1024 / max(options.silent, 1),
        "events": len(delays),
        "delay_p50_ms": 1e3 * delays[len(delays) // 2],
        "delay_p99_ms": 1e3 * delays[len(delays) * 99 // 100],
        "delay_max_ms": 1e3 * delays[-1],
        "plain_p50_ms": 1e3 * statistics.median(plain),
        "plain_max_ms": 1e3 * max(plain),
    }


def resident(pid: int) -> int:
    """Bytes of memory that the process holds (proc(5), statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


@contextlib.contextmanager
def parts(work: Path, identities: Identities, options: argparse.Namespace) -> Iterator[tuple[Leg, int]]:
    """Upstream and gateway, running; the gateway's process id."""
    port, own = free_port(), identities.upstream
    program: list[str | Path] = [sys.executable, "-m", "bench.streams", "--upstream", str(port)]
    program += [own.certificate, own.key, own.bundle, "--ticks", str(options.ticks)]
    leg = hopgate(work, identities, port)
    file = work / "hopgate" / "gateway.yaml"
    limits = {"limits": {"streams_per_agent": options.streams + options.silent + 10}}
    file.write_text(json.dumps(json.loads(file.read_text()) | limits))
    with (
        running(cores()[1], program, work / "upstream.log") as answering,
        running(cores()[0], leg.command, work / "hopgate.log") as process,
    ):
        said(answering)
        wait_for_port(process, leg.port, work / "hopgate.log")
        yield leg, process.pid


def said(process: subprocess.Popen[str]) -> None:
    if process.stdout is None or process.stdout.readline().strip() != "ready":
        raise RuntimeError("the upstream doesn't start")


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="bench.streams")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--silent", type=int, default=50)
    parser.add_argument("--ticks", type=int, default=60)
    parser.add_argument("--upstream", nargs=4, metavar=("PORT", "CERTIFICATE", "KEY", "CA"))
    options = parser.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if options.upstream:
        port, *pems = options.upstream
        uvloop.run(upstream(int(port), IssuedFiles(*map(Path, pems)), options.ticks))
        return 0
    with tempfile.TemporaryDirectory(prefix="hopgate-streams-") as folder:
        identities = issue(Path(folder))
        with parts(Path(folder), identities, options) as (leg, gateway):
            found = uvloop.run(run(leg, identities.client, gateway, options))
    for name, value in found.items():
        print(f"{name:<16} {value:,.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
