"""Certificates and roots replaced under bound listeners: real handshakes on asyncio's loop and on uvloop.

New handshakes use what was published last; a root that is gone is refused at once, for new handshakes, for
resumed sessions and for the next request of a live connection; nothing published means nobody gets in.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from gateway.identity.material import Material
from gateway.identity.rotation import RotatingServer
from gateway.identity.svid import Refusal
from tests.identity.conftest import Run
from tests.identity.listening import HOPGATE, Half, gate, kept_alive, only_a, shown
from tests.identity.pki import Issued, Shape, World, root
from tests.identity.test_tls import Seen, get, plain_client

AGENT, STRANGER = "spiffe://a.test/agent", "spiffe://b.test/agent"
Refused = (aiohttp.ClientError, OSError)


class TestNewHandshakes:
    def test_nobody_before_the_first_publish_or_after_a_withdrawal(self, world: World, run: Run) -> None:
        seen, client = Seen(), plain_client(world.leaf(AGENT), world.a)

        async def work() -> None:
            server = RotatingServer(seen.on_refused)
            async with gate(server) as port:
                with pytest.raises(Refused):
                    await get(port, client)
                server.publish(world.material())
                assert await get(port, client) == AGENT
                server.withdraw()
                with pytest.raises(Refused):
                    await get(port, client)
                server.publish(world.material())
                assert await get(port, client) == AGENT

        run(work())
        assert seen.reasons == [Refusal.HANDSHAKE, Refusal.HANDSHAKE]

    def test_show_the_certificate_published_last(self, world: World, run: Run) -> None:
        first, second = world.material(), world.material()

        async def work() -> list[bytes]:
            server, client = RotatingServer(Seen().on_refused), plain_client(world.leaf(AGENT), world.a)
            found = []
            async with gate(server) as port:
                for material in (first, second):
                    server.publish(material)
                    found.append(await shown(port, client))
            return found

        assert run(work()) == [first.own.chain_der[0], second.own.chain_der[0]]

    def test_accept_a_new_root_and_refuse_a_removed_one(self, world: World, run: Run) -> None:
        seen, stranger = Seen(), plain_client(world.leaf(STRANGER), world.a)

        async def work() -> None:
            server = RotatingServer(seen.on_refused)
            async with gate(server) as port:
                for material, served in ((only_a(world), False), (world.material(), True), (only_a(world), False)):
                    server.publish(material)
                    if served:
                        assert await get(port, stranger) == STRANGER
                        continue
                    with pytest.raises(Refused):
                        await get(port, stranger)

        run(work())
        assert seen.reasons == [Refusal.HANDSHAKE, Refusal.HANDSHAKE]

    @pytest.mark.parametrize(
        ("identity", "reason"),
        [
            (lambda w: None, Refusal.HANDSHAKE),
            (lambda w: w.b.issue("leaf", Shape(uris=[AGENT])), Refusal.PATH),
            (lambda w: w.a.issue("leaf", Shape(uris=[AGENT, STRANGER])), Refusal.SPIFFE_ID),
        ],
        ids=["no certificate", "signed by the other domain", "two URI names"],
    )
    def test_are_checked_like_those_of_a_fixed_context(
        self, world: World, run: Run, identity: Any, reason: Refusal
    ) -> None:
        seen = Seen()

        async def work() -> None:
            server = RotatingServer(seen.on_refused)
            server.publish(world.material())
            async with gate(server) as port:
                with pytest.raises(Refused):
                    await get(port, plain_client(identity(world), world.a))

        run(work())
        assert seen.reasons == [reason]

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_session_does_not_outlive_its_root(self, world: World, run: Run, version: ssl.TLSVersion) -> None:
        seen, client = Seen(), plain_client(world.leaf(STRANGER), world.a)
        client.maximum_version = version

        def connect(port: int, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
            with client.wrap_socket(socket.create_connection(("127.0.0.1", port)), session=session) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if STRANGER.encode() not in b"".join(iter(lambda: connection.recv(4096), b"")):
                    raise ConnectionError("not served")
                return connection.session

        async def work() -> None:
            server = RotatingServer(seen.on_refused)
            server.publish(world.material())
            async with gate(server) as port:
                session = await asyncio.to_thread(connect, port, None)
                server.publish(only_a(world))
                with pytest.raises(OSError):
                    await asyncio.to_thread(connect, port, session)

        run(work())
        assert len(seen.refused) == 1

    def test_unusable_key_pair_leaves_what_was_published(self, world: World, run: Run) -> None:
        good, other = world.material(), world.leaf(HOPGATE).pair
        mixed = Material(type(other)(good.own.certificates_pem, other.key_pem), {})

        async def work() -> str:
            server = RotatingServer(Seen().on_refused)
            server.publish(good)
            with pytest.raises(ssl.SSLError):
                server.publish(mixed)
            async with gate(server) as port:
                return await get(port, plain_client(world.leaf(AGENT), world.a))

        assert run(work()) == AGENT

    def test_handshake_that_began_before_the_root_went_ends_with_nobody(self, world: World) -> None:
        server = RotatingServer(Seen().on_refused)
        server.publish(world.material())
        hello, rest = Half(server.context, server_side=True), Half(plain_client(world.leaf(STRANGER), world.a))
        rest.step()
        hello.take(rest)
        hello.step()
        server.publish(only_a(world))
        for _ in range(4):
            rest.take(hello)
            rest.step()
            hello.take(rest)
            hello.step()
        assert hello.done
        assert server.peer_of(hello.connection) is None


class TestLiveConnections:
    def asked(self, world: World, run: Run, identity: Issued, steps: list[Callable[[RotatingServer], None]]) -> Any:
        """What one connection is told: once after the handshake, and once after each step."""
        seen = Seen()

        async def work() -> tuple[list[str], list[Refusal]]:
            server = RotatingServer(seen.on_refused)
            server.publish(world.material())
            async with gate(server) as port, kept_alive(plain_client(identity, world.a), port) as ask:
                said = [await ask()]
                for step in steps:
                    step(server)
                    said.append(await ask())
            return said, seen.reasons

        return run(work())

    def test_survive_a_new_certificate_and_a_new_root(self, world: World, run: Run) -> None:
        third = {**world.bundles, "c.test": (root("c root").certificate,)}
        steps = [
            lambda server: server.publish(world.material()),
            lambda server: server.publish(Material(world.leaf(HOPGATE).pair, third)),
            lambda server: server.publish(only_a(world)),
        ]
        said, refused = self.asked(world, run, world.leaf(AGENT), steps)
        assert said == [AGENT] * 4
        assert refused == []

    def test_have_no_peer_once_its_root_is_gone(self, world: World, run: Run) -> None:
        steps = [lambda server: server.publish(only_a(world)), lambda server: server.publish(world.material())]
        said, refused = self.asked(world, run, world.leaf(STRANGER), steps)
        assert said == [STRANGER, "nobody", "nobody"]
        assert refused == [Refusal.TRUST_DOMAIN]

    def test_have_no_peer_while_nothing_is_published(self, world: World, run: Run) -> None:
        steps = [lambda server: server.withdraw(), lambda server: server.publish(world.material())]
        said, refused = self.asked(world, run, world.leaf(AGENT), steps)
        assert said == [AGENT, "nobody", AGENT]
        assert refused == []

    def test_a_root_replaced_under_the_same_subject_is_gone(self, world: World, run: Run) -> None:
        twin = root("b root")
        replaced = Material(world.leaf(HOPGATE).pair, {**world.bundles, "b.test": (twin.certificate,)})
        said, refused = self.asked(world, run, world.leaf(STRANGER), [lambda server: server.publish(replaced)])
        assert said == [STRANGER, "nobody"]
        assert refused == [Refusal.PATH]

    def test_an_ordinary_connection_has_no_peer(self, world: World) -> None:
        server = RotatingServer(Seen().on_refused)
        server.publish(world.material())
        assert server.peer_of(None) is None
        assert server.peer_of(Half(ssl.create_default_context(), server_side=False).connection) is None


class TestLoad:
    def test_no_request_fails_while_both_ends_rotate(self, world: World, run: Run) -> None:
        """Each rotation comes in the middle of others' requests; half of the callers keep their connection."""
        rotations, callers, between = 20, 8, 10
        clients = [plain_client(world.leaf(AGENT), world.a) for _ in range(rotations)]

        async def work() -> tuple[list[str], int]:
            server, said, rotated = RotatingServer(Seen().on_refused), list[str](), 0
            server.publish(world.material())
            answered = asyncio.Condition()

            async def call(port: int, keep: bool) -> None:
                async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=not keep)) as session:
                    while rotated < rotations:
                        url, own = f"https://127.0.0.1:{port}/", clients[rotated]
                        async with session.post(url, ssl=own) as answer, answered:
                            said.append(await answer.text())
                            answered.notify_all()

            async with gate(server) as port, asyncio.TaskGroup() as tasks:
                for caller in range(callers):
                    tasks.create_task(call(port, keep=caller % 2 == 0))
                while rotated < rotations:
                    until = len(said) + between
                    async with answered:
                        await answered.wait_for(lambda least=until: len(said) >= least)
                    server.publish(world.material())
                    rotated += 1
            return said, rotated

        said, rotated = run(work())
        assert rotated == rotations
        assert len(said) >= rotations * between
        assert set(said) == {AGENT}


def test_a_domain_is_trusted_while_a_root_of_it_is_published(world: World) -> None:
    server = RotatingServer(Seen().on_refused)
    assert not server.trusts("a.test")
    server.publish(world.material())
    assert server.trusts("a.test")
    assert not server.trusts("c.test")
    server.publish(Material(world.leaf(HOPGATE).pair, {"a.test": (world.a.certificate,), "b.test": ()}))
    assert not server.trusts("b.test")
    server.withdraw()
    assert not server.trusts("a.test")
