"""The gateway as a client of upstreams, and its public listener, while its certificate and roots are replaced."""

from datetime import timedelta

import aiohttp
import pytest

from gateway.core.model import SpiffeId
from gateway.identity.material import MaterialError
from gateway.identity.rotation import RotatingClient, RotatingPublic
from gateway.identity.svid import Refusal
from gateway.identity.tls import server_context
from tests.identity.conftest import Run
from tests.identity.listening import only_a, shown
from tests.identity.pki import NOW, World
from tests.identity.test_tls import Seen, get, plain_client, serving

AGENT, UPSTREAM = SpiffeId("spiffe://a.test/agent"), SpiffeId("spiffe://a.test/ledger")
Refused = (aiohttp.ClientError, OSError)


class TestClient:
    def test_nothing_published_is_an_error(self, world: World) -> None:
        client = RotatingClient(Seen().on_refused)
        with pytest.raises(MaterialError, match="no SVID at present"):
            _ = client.current
        client.publish(world.material())
        assert client.current.x5t
        client.withdraw()
        with pytest.raises(MaterialError):
            _ = client.current

    def test_one_context_for_each_upstream_until_the_next_rotation(self, world: World) -> None:
        client = RotatingClient(Seen().on_refused)
        client.publish(world.material())
        before = client.current
        assert before.context(UPSTREAM) is before.context(UPSTREAM)
        assert before.context(UPSTREAM) is not before.context(AGENT)
        client.publish(world.material())
        assert client.current.context(UPSTREAM) is not before.context(UPSTREAM)
        assert client.current.x5t != before.x5t

    def test_shows_the_certificate_that_its_thumbprint_names(self, world: World, run: Run) -> None:
        seen = Seen()

        async def work() -> list[str]:
            client, named = RotatingClient(Seen().on_refused), []
            async with serving(server_context(world.material(UPSTREAM), Seen().on_refused), seen) as port:
                for _ in range(2):
                    client.publish(world.material())
                    identity = client.current
                    named.append(identity.x5t)
                    await get(port, identity.context(UPSTREAM))
            return named

        assert run(work()) == [peer.x5t for peer in seen.peers if peer]

    def test_refuses_an_upstream_whose_root_is_gone(self, world: World, run: Run) -> None:
        seen, upstream = Seen(), SpiffeId("spiffe://b.test/ledger")

        async def work() -> None:
            client = RotatingClient(seen.on_refused)
            async with serving(server_context(world.material(upstream), Seen().on_refused), Seen()) as port:
                client.publish(world.material())
                assert await get(port, client.current.context(upstream)) == "served"
                client.publish(only_a(world))
                with pytest.raises(aiohttp.ClientSSLError):
                    await get(port, client.current.context(upstream))

        run(work())
        assert seen.reasons == [Refusal.HANDSHAKE]

    def test_checks_upstreams_by_the_given_clock(self, world: World, run: Run) -> None:
        later = (NOW + timedelta(days=1)).timestamp()
        seen = Seen()

        async def work() -> None:
            client = RotatingClient(seen.on_refused, clock=lambda: later)
            client.publish(world.material())
            async with serving(server_context(world.material(UPSTREAM), Seen().on_refused), Seen()) as port:
                with pytest.raises(aiohttp.ClientSSLError):
                    await get(port, client.current.context(UPSTREAM))

        run(work())
        assert seen.reasons == [Refusal.PATH]


class TestPublic:
    def test_shows_what_was_published_last_and_asks_for_nothing(self, world: World, run: Run) -> None:
        first, second = world.material(), world.material()

        async def work() -> None:
            public = RotatingPublic()
            anyone = plain_client(None, world.a)
            async with serving(public.context, Seen()) as port:
                with pytest.raises(Refused):
                    await get(port, anyone)
                for material in (first, second):
                    public.publish(material.own)
                    assert await shown(port, anyone) == material.own.chain_der[0]
                    assert await get(port, anyone) == "served"
                public.withdraw()
                with pytest.raises(Refused):
                    await get(port, anyone)

        run(work())
