"""What the gateway makes of an agent's updates, and of an agent that is gone, silent, or says no.

An update counts whole; an agent that is gone leaves the last material until it expires; one that denies, or
sends something that can't be used, takes it away at once. Callbacks come on the event loop's thread.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from spiffe._proto import workload_pb2

from gateway.identity.material import Material, MaterialError
from gateway.identity.workload_api import Backoff, WorkloadSource
from tests.identity.pki import NOW, Issued, World, root
from tests.identity.workload_stand_in import StandIn, answer, stand_in

HOPGATE = "spiffe://a.test/hopgate"
QUICK = Backoff(least=0.02, most=0.1)
WAIT_SECONDS = 5.0


@pytest.fixture
def agent() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@dataclass
class Heard:
    """All that a source said, in order: ``update``, ``failure`` or ``withdrawn``."""

    events: list[tuple[str, Any]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    new: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, kind: str, what: Any) -> None:
        self.events.append((kind, what))
        self.threads.add(threading.get_ident())
        self.new.set()

    def of(self, kind: str) -> list[Any]:
        return [what for each, what in self.events if each == kind]

    async def next(self, kind: str, count: int = 1) -> Any:
        """The ``count``-th event of ``kind``, waited for."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.of(kind)) < count:
                self.new.clear()
                await self.new.wait()
        return self.of(kind)[count - 1]


def source(socket: Path | str, heard: Heard, **options: Any) -> WorkloadSource:
    return WorkloadSource(
        str(socket),
        lambda material: heard.hear("update", material),
        lambda detail: heard.hear("failure", detail),
        lambda: heard.hear("withdrawn", None),
        **{"backoff": QUICK, **options},
    )


@asynccontextmanager
async def following(agent: StandIn, **options: Any) -> AsyncIterator[Heard]:
    heard = Heard()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(source(agent.socket, heard, **options).run())
        yield heard
        running.cancel()


def update(world: World, leaf: Issued | None = None, **options: Any) -> workload_pb2.X509SVIDResponse:
    return answer(leaf or world.leaf(HOPGATE), "a.test", world.bundles, **options)


class TestUpdates:
    async def test_first_brings_own_svid_and_every_domains_bundle(self, world: World, agent: StandIn) -> None:
        leaf = world.leaf(HOPGATE)
        agent.say(update(world, leaf))
        material = await source(agent.socket, Heard()).first(WAIT_SECONDS)
        assert material.own.chain_der == tuple(leaf.der)
        assert material.bundles == world.bundles
        assert material.identity(time.time()).spiffe_id == HOPGATE

    async def test_socket_may_be_given_as_a_uri(self, world: World, agent: StandIn) -> None:
        agent.say(update(world))
        assert await source(f"unix://{agent.socket}", Heard()).first(WAIT_SECONDS)

    @pytest.mark.parametrize("socket", ["", "agent.sock", "unix:agent.sock", "tcp://127.0.0.1:8081"])
    def test_socket_is_an_absolute_path(self, socket: str) -> None:
        with pytest.raises(ValueError, match="is no absolute path"):
            source(socket, Heard())

    async def test_each_rotation_arrives_on_the_loops_thread(self, world: World, agent: StandIn) -> None:
        leaves = [world.leaf(HOPGATE) for _ in range(5)]
        async with following(agent) as heard:
            for count, leaf in enumerate(leaves, 1):
                agent.say(update(world, leaf))
                assert (await heard.next("update", count)).own.chain_der == tuple(leaf.der)
        assert heard.threads == {threading.get_ident()}
        assert [kind for kind, _ in heard.events] == ["update"] * 5

    async def test_a_bundle_that_comes_or_goes_is_an_update(self, world: World, agent: StandIn) -> None:
        leaf = world.leaf(HOPGATE)
        async with following(agent) as heard:
            agent.say(answer(leaf, "a.test", {"a.test": world.bundles["a.test"]}))
            assert set((await heard.next("update")).bundles) == {"a.test"}
            agent.say(update(world, leaf))
            assert set((await heard.next("update", 2)).bundles) == {"a.test", "b.test"}
            agent.say(answer(leaf, "a.test", {"a.test": world.bundles["a.test"]}))
            assert set((await heard.next("update", 3)).bundles) == {"a.test"}


class TestAgentGone:
    async def test_first_says_which_socket_and_why(self, tmp_path: Path) -> None:
        with pytest.raises(MaterialError, match=r"nowhere\.sock: no SVID within 0\.3 s: .*does not exist"):
            await source(tmp_path / "nowhere.sock", Heard()).first(0.3)

    async def test_first_waits_for_an_agent_that_starts_later(self, world: World, agent: StandIn) -> None:
        agent.stop()
        agent.say(update(world))
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(source(agent.socket, Heard()).first(WAIT_SECONDS))
            await asyncio.sleep(0)
            agent.start()
        assert isinstance(waiting.result(), Material)

    async def test_first_gives_up_on_an_agent_that_answers_nothing(self, agent: StandIn) -> None:
        with pytest.raises(MaterialError, match="no SVID within"):
            await source(agent.socket, Heard()).first(0.3)

    async def test_last_material_stays_and_the_next_agent_is_found(self, world: World, agent: StandIn) -> None:
        agent.say(update(world))
        async with following(agent) as heard:
            await heard.next("update")
            await asyncio.to_thread(agent.stop)
            said = await heard.next("failure", 3)
            fresh = world.leaf(HOPGATE)
            agent.say(update(world, fresh))
            agent.start()
            assert (await heard.next("update", 2)).own.chain_der == tuple(fresh.der)
        assert str(agent.socket) in said
        assert "the last SVID serves for another" in said
        assert heard.of("withdrawn") == []

    async def test_it_expires_with_the_agent_gone(self, world: World, agent: StandIn) -> None:
        agent.say(update(world, world.leaf(HOPGATE, not_after=NOW + timedelta(hours=1))))
        skew = (NOW + timedelta(hours=1)).timestamp() - time.time() - 0.5
        async with following(agent, clock=lambda: time.time() + skew) as heard:
            await heard.next("update")
            await asyncio.to_thread(agent.stop)
            await heard.next("withdrawn")
        assert any("has expired" in detail for detail in heard.of("failure"))

    async def test_it_expires_with_an_agent_that_just_sends_nothing(self, world: World, agent: StandIn) -> None:
        agent.say(update(world))
        skew = (NOW + timedelta(hours=1)).timestamp() - time.time() - 0.3
        async with following(agent, clock=lambda: time.time() + skew) as heard:
            await heard.next("withdrawn")
        assert [kind for kind, _ in heard.events] == ["update", "withdrawn", "failure"]

    async def test_what_first_brought_expires_too(self, world: World, agent: StandIn) -> None:
        agent.say(update(world))
        skew = (NOW + timedelta(hours=1)).timestamp() - time.time() - 0.5
        heard = Heard()
        own = source(agent.socket, heard, clock=lambda: time.time() + skew)
        await own.first(WAIT_SECONDS)
        await asyncio.to_thread(agent.stop)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(own.run())
            await heard.next("withdrawn")
            running.cancel()
        assert heard.of("update") == []


class TestAgentSaysNo:
    async def refused(self, world: World, agent: StandIn, what: Any) -> Heard:
        """A good update, then ``what``, then a good one again."""
        agent.say(update(world))
        async with following(agent) as heard:
            await heard.next("update")
            agent.say(what)
            await heard.next("withdrawn")
            agent.say(update(world))
            await heard.next("update", 2)
        kinds = [kind for kind, _ in heard.events]
        assert kinds[:3] == ["update", "withdrawn", "failure"]
        assert kinds[-1] == "update"
        assert kinds.count("withdrawn") == 1
        return heard

    async def test_denied_svid_is_withdrawn_until_it_is_granted_again(self, world: World, agent: StandIn) -> None:
        heard = await self.refused(world, agent, grpc.StatusCode.PERMISSION_DENIED)
        assert "register an entry" in heard.of("failure")[0]

    async def test_another_status_is_no_denial(self, world: World, agent: StandIn) -> None:
        agent.say(update(world))
        async with following(agent) as heard:
            await heard.next("update")
            agent.say(grpc.StatusCode.UNAVAILABLE)
            await heard.next("failure", 2)
            agent.say(update(world))
            await heard.next("update", 2)
        assert heard.of("withdrawn") == []

    @pytest.mark.parametrize(
        ("what", "says"),
        [
            (lambda w: answer(w.leaf(HOPGATE), "a.test", {"a.test": [root("a root").certificate]}), "not a valid SVID"),
            (lambda w: update(w, w.leaf(HOPGATE, not_after=NOW - timedelta(minutes=1))), "not a valid SVID"),
            (lambda w: update(w, key=ec.generate_private_key(ec.SECP256R1())), "not that of the SVID"),
            (lambda w: workload_pb2.X509SVIDResponse(), "can't be used"),
            (lambda w: broken(w, x509_svid=b"rubbish"), "can't be used"),
            (lambda w: broken(w, x509_svid_key=b"rubbish"), "can't be used"),
            (lambda w: broken(w, bundle=b"rubbish"), "can't be used"),
            (lambda w: broken(w, bundle=b""), "can't be used"),
        ],
        ids=[
            "own root is gone",
            "expired",
            "another key",
            "no SVID",
            "broken certificate",
            "broken key",
            "broken bundle",
            "empty bundle",
        ],
    )
    async def test_unusable_update_takes_the_one_before_away(
        self, world: World, agent: StandIn, what: Any, says: str
    ) -> None:
        heard = await self.refused(world, agent, what(world))
        assert says in heard.of("failure")[0]


def broken(world: World, **members: bytes) -> workload_pb2.X509SVIDResponse:
    said = update(world)
    for name, value in members.items():
        setattr(said.svids[0], name, value)
    return said
