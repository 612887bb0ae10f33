"""A receiver of webhooks over TLS, that answers as a test says, and a sender with a clock that a test moves."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import structlog
from aiohttp import web
from standardwebhooks import Webhook

from gateway.app.webhook_sender import Sender, TellingOffice, telling
from gateway.config.load import Loaded, load
from gateway.core.limits import Limits
from gateway.proxy.webhook_client import Webhooks
from gateway.store.approvals import SqlApprovals
from gateway.store.state import open_state
from gateway.store.webhook_letters import SqlLetters
from gateway.telemetry.metrics import Metrics
from tests.company import Company
from tests.core.approvals import NOW
from tests.ports import free_port

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def taken(request: web.Request) -> web.StreamResponse:
    """A receiver that takes it."""
    return web.Response(status=204)


def status(code: int, **headers: str) -> Answer:
    """A receiver that answers so."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


@dataclass
class Receiver:
    """What came, and what is answered next."""

    company: Company
    answer: Answer = taken
    port: int = field(default_factory=free_port)
    got: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/hook"

    def target(self, **settings: Any) -> dict[str, Any]:
        """Configure the company to tell it."""
        (self.company.directory / "secret").write_text(SECRET)
        hooks = self.company.settings.setdefault("webhooks", {})
        hooks |= {"networks": ["127.0.0.0/8"], "ca_file": str(self.company.svid("agent/planner").bundle)}
        found = {"url": self.url, "secrets": ["file:secret"], **settings}
        hooks.setdefault("targets", {})["pager"] = found
        return found

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    def events(self) -> list[str]:
        """What it was told, each signature verified by the official library."""
        return [Webhook(SECRET).verify(body, dict(headers))["type"] for headers, body in self.got]

    async def until(self, count: int) -> None:
        """Return once so many requests came."""
        async with asyncio.timeout(15), self.arrived:
            await self.arrived.wait_for(lambda: len(self.got) >= count)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with self.arrived:
            self.got.append(({name.lower(): value for name, value in request.headers.items()}, body))
            self.arrived.notify_all()
        return await self.answer(request)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Until the block ends."""
        files = self.company.svid("server/receiver")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.certificate, files.key)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=context).start()
        try:
            yield
        finally:
            await runner.cleanup()


@dataclass
class Clock:
    """Unix seconds."""

    now: float = NOW / 1000

    def __call__(self) -> float:
        return self.now


@dataclass
class Telling:
    """A sender of the company's, without its gateway."""

    clock: Clock
    approvals: SqlApprovals
    letters: SqlLetters
    sender: Sender
    metrics: Metrics

    async def step(self) -> int:
        """Send what is due, as a sender would that looks now; how many attempts that took."""
        return sum([await self.sender.drain(target) for target in await self.sender.due()])

    async def standing(self) -> dict[str, int]:
        return dict(await self.letters.counts())


@asynccontextmanager
async def telling_of(company: Company, chance: float = 0.5) -> AsyncIterator[Telling]:
    """A sender by the company's settings."""
    loaded = load(company.write(), {})
    assert isinstance(loaded, Loaded), str(loaded)
    settings, clock, metrics = loaded.settings, Clock(), Metrics("0")
    engine = await open_state(company.store_url)
    context = ssl.create_default_context(cafile=settings.webhooks.ca_file)
    client = Webhooks(context, tuple(map(ip_network, settings.webhooks.networks)), Limits())
    letters, approvals = SqlLetters(engine), SqlApprovals(engine, telling(lambda: settings, clock))
    office = TellingOffice(
        letters=letters,
        approvals=approvals,
        settings=lambda: settings,
        client=lambda: client,
        link_base=lambda: "https://gateway.test:9443",
        link_key=b"k" * 32,
        environ={},
        clock=clock,
        metrics=metrics.webhooks,
        log=structlog.get_logger(),
        chance=lambda: chance,
    )
    try:
        yield Telling(clock, approvals, letters, Sender(office), metrics)
    finally:
        await engine.dispose()
