"""Real handshakes on loopback: aiohttp server and client, on asyncio's loop and on uvloop."""

import asyncio
import socket
import ssl
import tempfile
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.core.model import Peer, SpiffeId
from gateway.identity.material import Material
from gateway.identity.svid import Refusal
from gateway.identity.tls import client_context, public_context, server_context
from tests.identity.conftest import Run
from tests.identity.pki import NOW, Issued, Shape, World, key_usage, root

ADMIN = "spiffe://a.test/admin"
UPSTREAM = SpiffeId("spiffe://a.test/ledger")


@dataclass
class Seen:
    """What a listener's application saw, and what its handshakes refused."""

    peers: list[Peer | None] = field(default_factory=list)
    refused: list[tuple[Refusal, str]] = field(default_factory=list)

    def on_refused(self, reason: Refusal, detail: str) -> None:
        self.refused.append((reason, detail))

    @property
    def reasons(self) -> list[Refusal]:
        return [reason for reason, _ in self.refused]


@asynccontextmanager
async def serving(context: ssl.SSLContext, seen: Seen) -> AsyncIterator[int]:
    async def answer(request: web.BaseRequest) -> web.Response:
        seen.peers.append(getattr(request.get_extra_info("ssl_object"), "hopgate_peer", None))
        return web.Response(text="served")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def get(port: int, context: ssl.SSLContext) -> str:
    # POST: aiohttp sends a GET again when its connection is reset, and one refusal would count as two.
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session, session.post(f"https://127.0.0.1:{port}/") as got:
        return await got.text()


def plain_client(identity: Issued | None, trusted: Issued) -> ssl.SSLContext:
    """A caller's own TLS client, without any check of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=trusted.certificate.public_bytes(Encoding.DER))
    if identity is not None:
        load(context, identity)
    return context


def load(context: ssl.SSLContext, identity: Issued) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(identity.pair.certificates_pem + identity.pair.key_pem)
        file.flush()
        context.load_cert_chain(file.name)


class TestServer:
    def test_verified_peer_reaches_the_application(self, world: World, run: Run) -> None:
        seen, leaf = Seen(), world.leaf(ADMIN)

        async def work() -> None:
            async with serving(server_context(world.material(), seen.on_refused), seen) as port:
                assert await get(port, plain_client(leaf, world.a)) == "served"

        run(work())
        assert [peer.spiffe_id for peer in seen.peers if peer] == [ADMIN]
        assert seen.refused == []

    def test_through_an_intermediate_that_the_client_sent(self, world: World, run: Run) -> None:
        seen = Seen()
        leaf = world.a.issue("intermediate", Shape(ca=True)).issue("leaf", Shape(uris=[ADMIN]))

        async def work() -> None:
            async with serving(server_context(world.material(), seen.on_refused), seen) as port:
                assert await get(port, plain_client(leaf, world.a)) == "served"

        run(work())
        assert [peer.spiffe_id for peer in seen.peers if peer] == [ADMIN]

    @pytest.mark.parametrize(
        ("leaf", "reason"),
        [
            (lambda w: w.b.issue("leaf", Shape(uris=[ADMIN])), Refusal.PATH),
            (lambda w: w.a.issue("leaf", Shape(uris=[ADMIN, "spiffe://a.test/b"])), Refusal.SPIFFE_ID),
            (lambda w: w.a.issue("leaf", Shape(uris=["spiffe://a.test/"])), Refusal.SPIFFE_ID),
            (lambda w: w.a.issue("leaf", Shape(dns=["admin"])), Refusal.SPIFFE_ID),
            (lambda w: w.a.issue("leaf", Shape(uris=[ADMIN], ca=True, usage=key_usage(False))), Refusal.CA_LEAF),
            (lambda w: w.a.issue("leaf", Shape(uris=[ADMIN], usage_present=False)), Refusal.KEY_USAGE),
            (lambda w: w.a.issue("leaf", Shape(uris=["spiffe://c.test/x"])), Refusal.TRUST_DOMAIN),
            (
                lambda w: w.a.issue("leaf", Shape(uris=[ADMIN], extended=[ExtendedKeyUsageOID.SERVER_AUTH])),
                Refusal.HANDSHAKE,
            ),
            (lambda w: w.leaf(ADMIN, not_after=NOW - timedelta(seconds=1)), Refusal.HANDSHAKE),
            (lambda w: root("c root").issue("leaf", Shape(uris=[ADMIN])), Refusal.HANDSHAKE),
            (lambda w: None, Refusal.HANDSHAKE),
        ],
        ids=[
            "signed by the other domain",
            "two URI names",
            "root path",
            "no URI name",
            "CA leaf",
            "no key usage",
            "unknown domain",
            "server certificate",
            "expired",
            "unknown root",
            "no certificate",
        ],
    )
    def test_refused_peer_is_never_served(self, world: World, run: Run, leaf: Any, reason: Refusal) -> None:
        seen = Seen()

        async def work() -> None:
            async with serving(server_context(world.material(), seen.on_refused), seen) as port:
                with pytest.raises((aiohttp.ClientError, OSError)):
                    await get(port, plain_client(leaf(world), world.a))

        run(work())
        assert seen.peers == []
        assert seen.reasons == [reason]

    def test_request_sent_with_the_handshake_is_not_read(self, world: World, run: Run) -> None:
        """A TLS 1.3 client is done before the server has looked at it: its first bytes must go unread."""
        seen, stolen = Seen(), world.b.issue("leaf", Shape(uris=[ADMIN]))

        async def work() -> None:
            async with serving(server_context(world.material(), seen.on_refused), seen) as port:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=plain_client(stolen, world.a), server_hostname=""
                )
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                with suppress(OSError):
                    assert await reader.read() == b""
                writer.close()

        run(work())
        assert seen.peers == []
        assert seen.reasons == [Refusal.PATH]

    def test_judged_by_the_given_clock(self, world: World, run: Run) -> None:
        seen = Seen()
        later = (NOW + timedelta(days=1)).timestamp()

        async def work() -> None:
            context = server_context(world.material(), seen.on_refused, clock=lambda: later)
            async with serving(context, seen) as port:
                with pytest.raises((aiohttp.ClientError, OSError)):
                    await get(port, plain_client(world.leaf(ADMIN), world.a))

        run(work())
        assert seen.peers == []
        assert seen.reasons == [Refusal.PATH]


class TestResumption:
    def connect_twice(self, port: int, context: ssl.SSLContext) -> bool | None:
        """Connect, and again with the first connection's session; whether the second resumed it."""
        session = None
        for _ in range(2):
            with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), session=session) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                while connection.recv(4096):
                    pass
                session, reused = connection.session, connection.session_reused
        return reused

    def test_tls13_never_resumes(self, world: World, run: Run) -> None:
        seen = Seen()

        async def work() -> bool | None:
            async with serving(server_context(world.material(), seen.on_refused), seen) as port:
                return await asyncio.to_thread(self.connect_twice, port, plain_client(world.leaf(), world.a))

        assert run(work()) is False
        assert len(seen.peers) == 2

    def test_tls12_session_is_checked_again(self, world: World, run: Run) -> None:
        """OpenSSL keeps TLS 1.2 sessions by id; what resumes must still pass our checks at that moment."""
        seen, clock = Seen(), iter([time.time(), (NOW + timedelta(days=1)).timestamp()])
        context = plain_client(world.leaf(ADMIN), world.a)
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        async def work() -> None:
            async with serving(server_context(world.material(), seen.on_refused, lambda: next(clock)), seen) as port:
                with suppress(OSError):
                    await asyncio.to_thread(self.connect_twice, port, context)

        run(work())
        assert [peer.spiffe_id for peer in seen.peers if peer] == [ADMIN]
        assert seen.reasons == [Refusal.PATH]


class TestClient:
    async def call(self, world: World, upstream: Material, expected: SpiffeId, seen: Seen) -> str:
        async with serving(server_context(upstream, Seen().on_refused), Seen()) as port:
            return await get(port, client_context(world.material(), expected, seen.on_refused))

    @pytest.mark.parametrize("uri", [UPSTREAM, "spiffe://b.test/ledger"])
    def test_expected_upstream_of_either_domain(self, world: World, run: Run, uri: str) -> None:
        seen = Seen()
        assert run(self.call(world, world.material(uri), SpiffeId(uri), seen)) == "served"
        assert seen.refused == []

    @pytest.mark.parametrize(
        ("upstream", "reason"),
        [
            (lambda w: w.a.issue("leaf", Shape(uris=["spiffe://a.test/other"])), Refusal.OTHER_IDENTITY),
            (lambda w: w.a.issue("leaf", Shape(uris=["spiffe://b.test/ledger"])), Refusal.TRUST_DOMAIN),
            (lambda w: w.a.issue("leaf", Shape(dns=["127.0.0.1", "localhost"])), Refusal.SPIFFE_ID),
            (lambda w: w.b.issue("leaf", Shape(uris=[UPSTREAM])), Refusal.HANDSHAKE),
            (
                lambda w: w.a.issue("leaf", Shape(uris=[UPSTREAM], extended=[ExtendedKeyUsageOID.CLIENT_AUTH])),
                Refusal.HANDSHAKE,
            ),
            (
                lambda w: w.a.issue("leaf", Shape(uris=[UPSTREAM], not_after=NOW - timedelta(seconds=5))),
                Refusal.HANDSHAKE,
            ),
        ],
        ids=[
            "another workload",
            "another domain's name",
            "host name only",
            "other domain's root",
            "client certificate",
            "expired",
        ],
    )
    def test_other_upstream_gets_nothing(self, world: World, run: Run, upstream: Any, reason: Refusal) -> None:
        seen = Seen()
        material = Material(upstream(world).pair, world.bundles)
        with pytest.raises(aiohttp.ClientSSLError):
            run(self.call(world, material, UPSTREAM, seen))
        assert seen.reasons == [reason]

    def test_unknown_domain_is_refused(self, world: World, run: Run) -> None:
        with pytest.raises(aiohttp.ClientSSLError):
            run(self.call(world, world.material(UPSTREAM), SpiffeId("spiffe://c.test/x"), Seen()))

    def test_gateway_presents_its_own_identity(self, world: World, run: Run) -> None:
        seen = Seen()

        async def work() -> None:
            async with serving(server_context(world.material(UPSTREAM), Seen().on_refused), seen) as port:
                await get(port, client_context(world.material(), UPSTREAM, Seen().on_refused))

        run(work())
        assert [peer.spiffe_id for peer in seen.peers if peer] == ["spiffe://a.test/hopgate"]


class TestPublic:
    def test_asks_for_no_certificate_and_knows_no_peer(self, world: World, run: Run) -> None:
        seen = Seen()

        async def work() -> None:
            async with serving(public_context(world.material().own), seen) as port:
                assert await get(port, plain_client(None, world.a)) == "served"
                assert await get(port, plain_client(world.leaf(ADMIN), world.a)) == "served"

        run(work())
        assert seen.peers == [None, None]

    def test_old_tls_is_refused(self, world: World, run: Run) -> None:
        old = plain_client(None, world.a)
        with warnings.catch_warnings(action="ignore"):
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")

        async def work() -> None:
            async with serving(public_context(world.material().own), Seen()) as port:
                with pytest.raises((aiohttp.ClientError, OSError)):
                    await get(port, old)

        run(work())
