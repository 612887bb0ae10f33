"""A bundle endpoint that answers whatever a test wants, and counts how often it was asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from gateway.identity.bundles import write_bundle
from gateway.identity.dev import IssuedFiles
from tests.gateways import read_request


@dataclass
class Endpoint:
    """``body`` is the document; ``raw`` is a whole answer in its place."""

    port: int
    context: ssl.SSLContext
    body: bytes = b""
    raw: bytes = b""
    asked: int = 0
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, the endpoint takes requests and doesn't answer."""
    answered: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/bundle"

    def say(self, *files: IssuedFiles, sequence: int, hint: int = 1) -> None:
        """Serve the roots of these companies."""
        self.raw, self.body = b"", write_bundle(roots(*files), sequence, hint)

    def show(self, certificate: IssuedFiles) -> None:
        """Prove itself by this certificate from the next connection on."""
        self.context.load_cert_chain(certificate.certificate, certificate.key)

    async def served(self) -> None:
        """Wait until what is served now was fetched: the second answer from here on was begun after it was set."""
        async with self.answered:
            wanted = self.asked + 2
            await asyncio.wait_for(self.answered.wait_for(lambda: self.asked >= wanted), 15)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_request(reader)
            await self.hanging.wait()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(self.body)
            writer.write(self.raw or head + self.body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            async with self.answered:
                self.asked += 1
                self.answered.notify_all()


def roots(*files: IssuedFiles) -> list[x509.Certificate]:
    """The CA certificates that the companies' workloads are verified by."""
    return [root for each in files for root in x509.load_pem_x509_certificates(each.bundle.read_bytes())]


@asynccontextmanager
async def endpoint(certificate: IssuedFiles, port: int) -> AsyncIterator[Endpoint]:
    """An endpoint that shows ``certificate``, and asks for none."""
    found = Endpoint(port, ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    found.show(certificate)
    found.hanging.set()
    server = await asyncio.start_server(found._connected, "127.0.0.1", port, ssl=found.context)
    try:
        yield found
    finally:
        found.hanging.set()
        server.close()


def source(where: Endpoint | str, **more: str | int | Path) -> dict[str, object]:
    """How settings name the endpoint; fetched every second at the latest."""
    url = where if isinstance(where, str) else where.url
    found = {"url": url, "least_seconds": 1, "most_seconds": 1, "stale_seconds": 60} | more
    return {name: str(value) if isinstance(value, Path) else value for name, value in found.items()}
