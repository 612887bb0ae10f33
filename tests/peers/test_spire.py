"""The gateway's identity by SPIRE itself: two trust domains, each with its server and its agent.

``gateway.test`` is the gateway's domain, ``partner.test`` the caller's; both know the other's roots. A real
mTLS listener and real callers, each with an SVID that its agent replaces every second or so.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from gateway.core.model import SpiffeId
from gateway.identity.material import Material
from gateway.identity.rotation import RotatingClient, RotatingServer
from gateway.identity.svid import Refusal
from gateway.identity.workload_api import Backoff, WorkloadSource
from tests.peers.spire import Domain, spire

pytestmark = pytest.mark.asyncio(loop_scope="module")

GATEWAY, CALLER = SpiffeId("spiffe://gateway.test/hopgate"), SpiffeId("spiffe://partner.test/caller")
START_SECONDS = 20.0
SETTLE_SECONDS = 15.0
Refused = (aiohttp.ClientError, OSError)


@dataclass(frozen=True)
class Domains:
    gateway: Domain
    partner: Domain


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def domains() -> AsyncIterator[Domains]:
    async with spire("gateway.test") as gateway, spire("partner.test") as partner:
        await gateway.trust("partner.test", await partner.bundle())
        await partner.trust("gateway.test", await gateway.bundle())
        await gateway.register("/hopgate", federates_with="partner.test")
        await partner.register("/caller", federates_with="gateway.test")
        yield Domains(gateway, partner)


@dataclass
class Party:
    """One side's material as its agent last gave it, and everything that its source said."""

    updates: list[Material] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    withdrawals: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SETTLE_SECONDS):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    async def until_domains(self, *names: str) -> None:
        """Until the trust bundles are those of ``names``."""
        await self.until(lambda: bool(self.updates) and set(self.updates[-1].bundles) == set(names))


@asynccontextmanager
async def party(domain: Domain, rotating: RotatingServer | RotatingClient) -> AsyncIterator[Party]:
    """Keep ``rotating`` as the agent of ``domain`` says, from its first SVID on."""
    this = Party()

    def update(material: Material) -> None:
        rotating.publish(material)
        this.updates.append(material)
        this.changed.set()

    def failure(detail: str) -> None:
        this.failures.append(detail)
        this.changed.set()

    def withdrawn() -> None:
        rotating.withdraw()
        this.withdrawals += 1
        this.changed.set()

    source = WorkloadSource(str(domain.socket), update, failure, withdrawn, backoff=Backoff(most=0.5))
    rotating.publish(await source.first(START_SECONDS))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(source.run())
        try:
            yield this
        finally:
            running.cancel()


@dataclass
class Running:
    """A gateway-like listener with SPIRE's identity, and a caller of the other domain."""

    port: int
    gateway: Party
    caller: Party
    client: RotatingClient
    refused: list[Refusal]
    connections: set[object] = field(default_factory=set)

    async def call(self, session: aiohttp.ClientSession) -> str:
        """Who the listener takes the caller for, by the connection and by today's trust bundles."""
        url, context = f"https://127.0.0.1:{self.port}/", self.client.current.context(GATEWAY)
        async with session.post(url, ssl=context) as answer:
            return await answer.text()

    async def call_anew(self) -> str:
        """Over a connection of its own."""
        async with aiohttp.ClientSession() as session:
            return await self.call(session)


@asynccontextmanager
async def running(domains: Domains) -> AsyncIterator[Running]:
    refused: list[Refusal] = []
    server = RotatingServer(lambda reason, detail: refused.append(reason))
    client = RotatingClient(lambda reason, detail: None)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(party(domains.gateway, server))
        caller = await stack.enter_async_context(party(domains.partner, client))
        both = {"gateway.test", "partner.test"}
        await gateway.until_domains(*both)
        await caller.until_domains(*both)
        connections: set[object] = set()

        async def answer(request: web.BaseRequest) -> web.Response:
            connection = request.get_extra_info("ssl_object")
            connections.add(connection)
            peer = server.peer_of(connection)
            return web.Response(text="nobody" if peer is None else peer.spiffe_id)

        listener = web.ServerRunner(web.Server(answer))
        await listener.setup()
        stack.push_async_callback(listener.cleanup)
        await web.TCPSite(listener, "127.0.0.1", 0, ssl_context=server.context).start()
        yield Running(listener.addresses[0][1], gateway, caller, client, refused, connections)


async def test_no_request_fails_while_svids_rotate(domains: Domains) -> None:
    rotations, said = 4, list[str]()
    async with running(domains) as it:
        own, theirs = len(it.gateway.updates) + rotations, len(it.caller.updates) + rotations
        done = asyncio.Event()

        async def load(keep: bool) -> None:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=not keep)) as session:
                while not done.is_set():
                    said.append(await it.call(session))

        async with asyncio.TaskGroup() as tasks:
            for caller in range(4):
                tasks.create_task(load(keep=caller % 2 == 0))
            await it.gateway.until(lambda: len(it.gateway.updates) >= own)
            await it.caller.until(lambda: len(it.caller.updates) >= theirs)
            done.set()
        thumbprints = {material.x5t for material in it.gateway.updates}
    assert set(said) == {CALLER}
    assert len(said) > rotations * 10
    assert len(thumbprints) > rotations
    assert it.refused == []
    assert (it.gateway.failures, it.caller.failures) == ([], [])


async def test_removed_root_is_refused_at_once(domains: Domains) -> None:
    async with running(domains) as it, aiohttp.ClientSession() as session:
        pinned = it.client.current.context(GATEWAY)

        async def on_the_old_connection() -> str:
            async with session.post(f"https://127.0.0.1:{it.port}/", ssl=pinned) as answer:
                return await answer.text()

        assert await on_the_old_connection() == CALLER
        try:
            await domains.gateway.command("bundle", "delete", "-id", "spiffe://partner.test", "-mode", "dissociate")
            await it.gateway.until_domains("gateway.test")
            assert await on_the_old_connection() == "nobody"
            assert len(it.connections) == 1
            with pytest.raises(Refused):
                await it.call_anew()
            assert it.refused == [Refusal.TRUST_DOMAIN, Refusal.HANDSHAKE]
        finally:
            await domains.gateway.trust("partner.test", await domains.partner.bundle())
            await domains.gateway.federate(GATEWAY, "partner.test")
        await it.gateway.until_domains("gateway.test", "partner.test")
        assert await it.call_anew() == CALLER


async def test_dead_agent_fails_closed_and_is_found_again(domains: Domains) -> None:
    async with running(domains) as it:
        await domains.gateway.stop_agent()
        await it.gateway.until(lambda: bool(it.gateway.failures))
        assert "the last SVID serves for another" in it.gateway.failures[0]
        assert await it.call_anew() == CALLER
        await it.gateway.until(lambda: it.gateway.withdrawals == 1)
        with pytest.raises(Refused):
            await it.call_anew()
        assert any("has expired" in detail for detail in it.gateway.failures)

        before = len(it.gateway.updates)
        await domains.gateway.start_agent()
        await it.gateway.until(lambda: len(it.gateway.updates) > before)
        assert await it.call_anew() == CALLER
        assert it.gateway.withdrawals == 1


async def test_caller_knows_the_gateway_by_its_name_only(domains: Domains) -> None:
    async with running(domains) as it:
        wrong = it.client.current.context(SpiffeId("spiffe://gateway.test/ledger"))
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientSSLError):
                await session.post(f"https://127.0.0.1:{it.port}/", ssl=wrong)
