"""Raw bytes at the real data listener, and an upstream that keeps every byte that reaches it."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.store.query import Found
from tests.company import Company
from tests.gateways import read_request, running
from tests.wire.mcp_calls import call, headers_of

PATH = "/mcp/ledger"
READ = call("read_balance")
BODY = json.dumps(READ).encode()
SMUGGLED = b"POST /mcp/ledger HTTP/1.1\r\nHost: evil.test\r\nX-Smuggled: 1\r\nContent-Length: 0\r\n\r\n"
Headers = Sequence[tuple[str, str]]


class Said(NamedTuple):
    """What the gateway answered on one connection until it closed it."""

    raw: bytes

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"(?:^|\n|\})HTTP/\d\.\d (\d{3}) ", self.raw)]

    @property
    def reason(self) -> str:
        """The reason code of the only answer; empty if it is no refusal."""
        found = re.findall(rb'"reason":"(\w+)"', self.raw)
        return found[0].decode() if len(found) == 1 else ""


@dataclass
class Upstream:
    """Answers each whole request of a connection; what is no whole request is kept as stray bytes."""

    requests: list[bytes] = field(default_factory=list)
    stray: list[bytes] = field(default_factory=list)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            try:
                while True:
                    request = await read_request(reader)
                    self.requests.append(request)
                    writer.write(_answer(request.partition(b"\r\n\r\n")[2]))
            except asyncio.IncompleteReadError as ended:
                self.stray += [ended.partial] if ended.partial else []
        writer.close()

    @property
    def heads(self) -> list[dict[str, str]]:
        """Headers of each request, names in lower case; one that came twice fails the test."""
        found = []
        for request in self.requests:
            lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
            pairs = [line.split(": ", 1) for line in lines]
            assert len({name.lower() for name, _ in pairs}) == len(pairs), lines
            found.append({name.lower(): value for name, value in pairs})
        return found


@dataclass
class Front:
    """One running gateway with its upstream."""

    company: Company
    upstream: Upstream

    def headers(self, *, host: str | None = None, message: Any = READ) -> list[tuple[str, str]]:
        """The headers of a right request, but for its framing. The connection ends with the answer."""
        token = self.company.token(self.company.data_url + PATH)
        own = {"Host": host or f"127.0.0.1:{self.company.data_port}", "Authorization": f"Bearer {token}"}
        return [*(own | headers_of(message)).items(), ("Connection", "close")]

    def request(
        self, *more: tuple[str, str], target: str = PATH, body: bytes = BODY, framed: bool = True, **changed: Any
    ) -> bytes:
        """A right request, with ``more`` headers and another target; ``framed`` adds a right Content-Length."""
        length = [("Content-Length", str(len(body)))] if framed else []
        return head(f"POST {target} HTTP/1.1", [*self.headers(**changed), *length, *more]) + body

    async def say(self, payload: bytes, agent: str = "planner") -> Said:
        """Send bytes as ``agent``; everything that comes back."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.company.data_port, ssl=self.company.client(agent), server_hostname="127.0.0.1"
        )
        try:
            async with asyncio.timeout(5):
                writer.write(payload)
                return Said(await reader.read())
        finally:
            writer.close()

    async def forwarded(self, payload: bytes) -> tuple[Said, int]:
        """What was answered, and how many requests reached the upstream for it; stray bytes fail the test."""
        return await self.forwarded_as("planner", payload)

    async def forwarded_as(self, agent: str, payload: bytes) -> tuple[Said, int]:
        """``forwarded``, for another caller."""
        before = len(self.upstream.requests)
        said = await self.say(payload, agent)
        assert self.upstream.stray == []
        assert all(b"smuggled" not in request.lower() for request in self.upstream.requests)
        return said, len(self.upstream.requests) - before

    def last_record(self) -> Found:
        return self.company.records()[-1]


def head(line: str, headers: Headers) -> bytes:
    """Request line and headers, as they are."""
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in headers), "", ""]).encode("latin-1")


@asynccontextmanager
async def front(company: Company) -> AsyncIterator[Front]:
    """The company's gateway in front of a ledger of bare bytes."""
    company.settings.setdefault("limits", {})["body_seconds"] = 0.5
    upstream, files = Upstream(), company.svid("server/ledger")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.bundle))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.certificate, files.key)
    server = await asyncio.start_server(upstream.connected, "127.0.0.1", company.upstreams["ledger"], ssl=context)
    try:
        async with running(company):
            yield Front(company, upstream)
    finally:
        server.close()


def _answer(body: bytes) -> bytes:
    result = {"content": [{"type": "text", "text": "ok"}], "resultType": "complete"}
    answer = json.dumps({"jsonrpc": "2.0", "id": json.loads(body)["id"], "result": result}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer)
