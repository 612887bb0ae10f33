"""Trust bundles fetched while the gateway runs: real endpoints, real handshakes of the other domain's workloads."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.identity.dev import IssuedFiles, issue_svid
from tests.app.health import metric, until
from tests.company import Company
from tests.federation.endpoint import Endpoint, endpoint, source
from tests.gateways import running
from tests.ports import free_port

STRANGER = "spiffe://c.test/agent/stranger"


@dataclass
class World:
    """A company, another domain ``c.test`` with two CAs, an old and a new one, and a web CA."""

    company: Company

    def issued(self, spiffe_id: str, ca: str) -> IssuedFiles:
        folder, name = self.company.directory, f"{ca}-{spiffe_id.removeprefix('spiffe://').replace('/', '-')}"
        return issue_svid(folder / f"ca-{ca}", spiffe_id, folder / "others", name, hosts=("127.0.0.1",))

    @property
    def old(self) -> IssuedFiles:
        return self.issued(STRANGER, "old")

    @property
    def new(self) -> IssuedFiles:
        return self.issued(STRANGER, "new")

    @property
    def web(self) -> IssuedFiles:
        return self.issued("spiffe://web.test/web", "web")

    def client(self, files: IssuedFiles) -> httpx2.AsyncClient:
        """The stranger, towards the company's gateway."""
        context = ssl.create_default_context(cafile=str(self.company.svid("x").bundle))
        context.load_cert_chain(files.certificate, files.key)
        return httpx2.AsyncClient(verify=context, base_url=self.company.data_url)

    async def admitted(self, files: IssuedFiles) -> bool:
        """Whether a handshake by the certificate succeeds; what is refused after it isn't the question here."""
        async with self.client(files) as http:
            try:
                reply = await http.get("/mcp/ledger")
            except httpx2.TransportError:
                return False
        assert reply.json()["error"]["data"]["reason"] == "agent_unregistered"
        return True


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Company(tmp_path))


@asynccontextmanager
async def following(world: World, **more: Any) -> AsyncIterator[Endpoint]:
    """The gateway, following an endpoint that shows a web certificate and serves the old root."""
    async with endpoint(world.web, free_port()) as there:
        there.say(world.old, sequence=5)
        settings = source(there, profile="https_web", ca_file=world.web.bundle, **more)
        world.company.settings["federation"] = {"bundles": {"c.test": settings}}
        async with running(world.company):
            await fresh(world.company)
            yield there


async def bundles(company: Company, *parts: str) -> str:
    """Wait until ``/readyz`` says all of ``parts`` of the bundles; the gateway is ready all the same."""

    def said(found: dict[str, Any]) -> str:
        return str(found["checks"].get("trust_bundles", "ok"))

    status, found = await until(company, lambda found: all(part in said(found) for part in parts))
    assert status == 200
    return said(found)


async def fresh(company: Company) -> None:
    """Wait until every bundle is as its endpoint has it."""
    await until(company, lambda found: "trust_bundles" not in found["checks"])


async def test_a_domain_is_believed_by_what_its_endpoint_serves(world: World) -> None:
    async with following(world) as there:
        assert await world.admitted(world.old)
        assert not await world.admitted(world.new)
        there.say(world.old, world.new, sequence=6)
        await there.served()
        assert await world.admitted(world.new)
        there.say(world.new, sequence=7)
        await there.served()
        assert not await world.admitted(world.old)


async def test_a_removed_root_ends_open_connections_at_their_next_request(world: World) -> None:
    async with following(world) as there, world.client(world.old) as http:
        before = (await http.get("/mcp/ledger")).json()
        assert before["error"]["data"]["reason"] == "agent_unregistered"
        there.say(world.new, sequence=6)
        await there.served()
        after = (await http.get("/mcp/ledger")).json()
        assert after["error"]["data"]["reason"] == "trust_withdrawn"


async def test_a_bundle_without_keys_withdraws_the_domain(world: World) -> None:
    async with following(world) as there:
        there.say(sequence=6)
        await there.served()
        assert not await world.admitted(world.old)


REFUSED = {
    "no document": (b"<html>", b"", "can't be read"),
    "a replayed document": (None, b"", "spiffe_sequence goes back from 5 to 4"),
    "a redirect": (b"", b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n", "302"),
    "an error": (b"", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "answered 500"),
    "too much": (b" " * 300_000, b"", "larger than 262144 bytes"),
    "a compressed document": (
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        "compressed",
    ),
    "half an answer": (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", "can't be fetched"),
}


async def test_what_can_t_be_used_leaves_the_last_good_bundle(world: World) -> None:
    async with following(world) as there:
        for body, raw, why in REFUSED.values():
            if body is None:
                there.say(world.new, sequence=4)
            else:
                there.body, there.raw = body, raw
            said = await bundles(world.company, "c.test: ", " s old: ", why)
            assert "no longer used" not in said
            assert await world.admitted(world.old)
            assert not await world.admitted(world.new)
        there.say(world.old, sequence=5)
        await fresh(world.company)
        assert await metric(world.company, "hopgate_trust_bundle_failures_total") >= len(REFUSED)
        assert await metric(world.company, "hopgate_trust_bundle_fetched_timestamp_seconds") > 1_700_000_000


async def test_a_stale_bundle_is_believed_no_longer(world: World) -> None:
    async with following(world, stale_seconds=2) as there:
        assert await world.admitted(world.old)
        there.body = b"gone"
        await bundles(world.company, "and no longer used")
        assert not await world.admitted(world.old)
        there.say(world.old, sequence=5)
        await fresh(world.company)
        assert await world.admitted(world.old)


async def test_an_endpoint_that_hangs_keeps_no_bundle_alive(world: World) -> None:
    async with following(world, stale_seconds=2) as there:
        there.hanging.clear()
        await bundles(world.company, "and no longer used", "has not answered yet")
        assert not await world.admitted(world.old)


async def test_the_last_good_bundle_outlives_the_process_and_so_does_its_sequence(world: World) -> None:
    async with following(world) as there:
        # Asked again, it has kept what it was told before.
        await there.served()
    async with endpoint(world.web, free_port()) as there:
        there.say(world.new, sequence=4)
        bundle = source(there, profile="https_web", ca_file=world.web.bundle)
        world.company.settings["federation"] = {"bundles": {"c.test": bundle}}
        async with running(world.company):
            await bundles(world.company, "goes back from 5 to 4")
            assert await world.admitted(world.old)
            assert not await world.admitted(world.new)


async def test_a_web_endpoint_of_another_ca_is_not_believed(world: World) -> None:
    async with endpoint(world.old, free_port()) as there:
        there.say(world.old, sequence=1)
        bundle = source(there, profile="https_web", ca_file=world.web.bundle)
        world.company.settings["federation"] = {"bundles": {"c.test": bundle}}
        async with running(world.company):
            await bundles(world.company, "no bundle: ", "can't be fetched")
            assert not await world.admitted(world.old)


async def test_a_spiffe_endpoint_proves_itself_by_the_roots_that_are_there(world: World) -> None:
    """First by those of ``bootstrap``, then by those that it served itself: it renews its own trust."""
    at, port = "spiffe://c.test/bundles", free_port()
    old, new = world.issued(at, "old"), world.issued(at, "new")
    more = {"profile": "https_spiffe", "spiffe_id": at, "bootstrap": old.bundle}
    async with endpoint(old, port) as there:
        there.say(world.old, world.new, sequence=1)
        world.company.settings["federation"] = {"bundles": {"c.test": source(there, **more)}}
        async with running(world.company):
            await fresh(world.company)
            assert await world.admitted(world.new)
            there.raw = b"HTTP/1.1 503 Moving\r\nContent-Length: 0\r\n\r\n"
            await bundles(world.company, "answered 503")
            # From now on it shows a certificate that the bootstrap roots don't vouch for.
            there.show(new)
            there.say(world.new, sequence=2)
            await fresh(world.company)
            assert not await world.admitted(world.old)


async def test_a_spiffe_endpoint_begins_with_the_roots_of_the_own_source(world: World) -> None:
    company, at = world.company, "spiffe://c.test/bundles"
    own = company.svid("hopgate")
    company.settings["identity"] = {
        "trust_domain": company.domain,
        "source": "pem",
        "pem": {
            "certificate": str(own.certificate),
            "key": str(own.key),
            "trust_bundles": {company.domain: str(own.bundle), "c.test": str(world.old.bundle)},
        },
    }
    async with endpoint(world.issued(at, "old"), free_port()) as there:
        there.raw = b"HTTP/1.1 503 Not yet\r\nContent-Length: 0\r\n\r\n"
        bundle = source(there, profile="https_spiffe", spiffe_id=at)
        company.settings["federation"] = {"bundles": {"c.test": bundle}}
        async with running(company):
            await bundles(company, "no bundle: ", "answered 503")
            assert await world.admitted(world.old)
            there.say(world.new, sequence=1)
            await fresh(company)
            assert await world.admitted(world.new)
            assert not await world.admitted(world.old)


async def test_another_workload_of_the_domain_is_not_its_endpoint(world: World) -> None:
    more = {"profile": "https_spiffe", "spiffe_id": "spiffe://c.test/bundles", "bootstrap": world.old.bundle}
    async with endpoint(world.old, free_port()) as there:
        there.say(world.old, sequence=1)
        world.company.settings["federation"] = {"bundles": {"c.test": source(there, **more)}}
        async with running(world.company):
            await bundles(world.company, "no bundle: ")
            assert not await world.admitted(world.old)


async def test_the_own_bundle_is_served_where_it_should_be(world: World) -> None:
    company = world.company
    company.settings["federation"] = {"own_bundle": {"serve": True, "refresh_hint_seconds": 77}}
    path = "/.well-known/spiffe-bundle"
    async with running(company), httpx2.AsyncClient(verify=company.anyone()) as http:
        reply = await http.get(company.public_url + path)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        found = reply.json()
        assert found["spiffe_refresh_hint"] == 77
        [key] = found["keys"]
        assert (key["use"], len(key["x5c"])) == ("x509-svid", 1)
        assert "d" not in key
        assert (await http.post(company.public_url + path)).status_code == 405
    async with running(company), httpx2.AsyncClient(verify=company.anyone()) as http:
        assert (await http.get(company.public_url + path)).json() == found, "the same roots, the same sequence"
    del company.settings["federation"]
    async with running(company), httpx2.AsyncClient(verify=company.anyone()) as http:
        assert (await http.get(company.public_url + path)).status_code == 404
