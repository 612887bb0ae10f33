"""A whole gateway whose SVID comes from the Workload API: it starts with it or says in one line why not, loses no
request to rotation in either direction, drops a removed root on live connections and streams too, outlives its agent
until the SVID ends, then refuses everybody, and recovers."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx2
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from spiffe._proto import workload_pb2

from gateway.app import PartError
from tests.app.health import SECONDS, WITHDRAWN, metric, ready, reason_once_refused, until
from tests.company import DOMAIN, Company
from tests.gateways import HOPGATE, running
from tests.identity.pki import Issued, Shape, root
from tests.identity.workload_stand_in import StandIn, answer, stand_in
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Wire, answer_of, bare, call, post, refusal_of, through_gateway

PARTNER = "partner.test"
EXPIRES, FAILURES = "hopgate_identity_expires_timestamp_seconds", "hopgate_identity_failures_total"


@pytest.fixture
def agent() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture
def company(tmp_path: Path, agent: StandIn) -> Company:
    company = Company(tmp_path)
    company.settings["identity"] = {
        "trust_domain": DOMAIN,
        "source": "workload_api",
        "workload_api": {"socket": str(agent.socket), "start_seconds": 5},
    }
    return company


def own_leaf(company: Company, *, seconds: float = 3600, domain: str = DOMAIN) -> tuple[Issued, Issued]:
    """A fresh SVID for the gateway, by the company's CA, and that CA."""
    bundle = company.svid("agent/planner").bundle
    key: Any = load_pem_private_key((company.ca / "ca-key.pem").read_bytes(), None)
    authority = Issued(x509.load_pem_x509_certificate(bundle.read_bytes()), key)
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    shape = Shape(uris=[f"spiffe://{domain}/hopgate"], ips=["127.0.0.1"], not_after=end)
    return authority.issue("hopgate", shape), authority


def svid(company: Company, *partners: Issued, seconds: float = 3600) -> workload_pb2.X509SVIDResponse:
    """An agent's update for the gateway, with the roots of the company and of ``partners``."""
    leaf, authority = own_leaf(company, seconds=seconds)
    bundles = {DOMAIN: [authority.certificate]}
    if partners:
        bundles[PARTNER] = [each.certificate for each in partners]
    return answer(leaf, DOMAIN, bundles)


@asynccontextmanager
async def from_partner(company: Company, partner: Issued) -> AsyncIterator[Wire]:
    """The planner, as a workload of the partner's trust domain."""
    leaf = partner.issue("planner", Shape(uris=[company.registry["agents"]["planner"]["spiffe_id"]]))
    file = company.directory / "planner.pem"
    file.write_bytes(leaf.pair.certificates_pem + leaf.pair.key_pem)
    context = company.anyone()
    context.load_cert_chain(file)
    url = f"{company.data_url}/mcp/ledger"
    headers = {"Authorization": f"Bearer {company.token(url)}"}
    async with httpx2.AsyncClient(verify=context, headers=headers, timeout=20) as http:
        yield Wire(http, url)


class TestStart:
    async def test_serves_with_the_svid_of_its_agent(self, company: Company, agent: StandIn) -> None:
        leaf, authority = own_leaf(company)
        agent.say(answer(leaf, DOMAIN, {DOMAIN: [authority.certificate]}))
        async with through_gateway(company, Ledger()), bare(company) as wire:
            assert (await post(wire, call("read_balance"))).status_code == 200
            status, found = await ready(company)
            assert (status, found["checks"]["identity"]) == (200, "ok")
            assert await metric(company, EXPIRES) == int(leaf.certificate.not_valid_after_utc.timestamp())
            context, shown = company.anyone(), []
            for port in (company.data_port, company.public_port):
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
                shown.append(writer.get_extra_info("ssl_object").getpeercert(True))
                writer.close()
        assert shown == [leaf.der[0]] * 2

    def test_without_an_agent_it_says_why_in_one_line(self, company: Company, agent: StandIn) -> None:
        company.settings["identity"]["workload_api"]["start_seconds"] = 0.5
        agent.stop()
        command = [HOPGATE, "serve", "--config", company.write()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1
        assert line.startswith(f"hopgate serve: identity.workload_api: {agent.socket}: no SVID within 0.5 s: ")

    async def refused(self, company: Company) -> str:
        with pytest.raises(ExceptionGroup) as raised:
            async with running(company):
                pytest.fail("it serves")
        (error,) = raised.value.exceptions
        assert isinstance(error, PartError)
        return str(error)

    async def test_a_denied_svid_names_the_entry_to_make(self, company: Company, agent: StandIn) -> None:
        company.settings["identity"]["workload_api"]["start_seconds"] = 0.5
        agent.say(grpc.StatusCode.PERMISSION_DENIED)
        assert "register an entry that selects the gateway's process" in await self.refused(company)

    async def test_a_silent_agent_is_not_waited_for_endlessly(self, company: Company) -> None:
        company.settings["identity"]["workload_api"]["start_seconds"] = 0.5
        assert "no SVID within 0.5 s: the agent does not answer" in await self.refused(company)

    async def test_an_svid_of_another_trust_domain_is_none(self, company: Company, agent: StandIn) -> None:
        leaf, authority = own_leaf(company, domain="other.test")
        agent.say(answer(leaf, "other.test", {"other.test": [authority.certificate]}))
        said = await self.refused(company)
        assert f"the SVID is spiffe://other.test/hopgate, not of identity.trust_domain {DOMAIN}" in said

    async def test_a_start_that_waits_can_be_ended(self, company: Company, agent: StandIn) -> None:
        company.settings["identity"]["workload_api"]["start_seconds"] = 600
        process = await asyncio.create_subprocess_exec(HOPGATE, "serve", "--config", company.write())
        assert await asyncio.to_thread(agent.asked.wait, SECONDS)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), SECONDS) != 0


async def test_no_request_fails_while_the_svid_rotates(company: Company, agent: StandIn) -> None:
    """The token's ``cnf`` says which certificate the gateway showed its upstream: each one must have been in use."""
    ledger, statuses, done = Ledger(stateless=True, json_response=True), list[int](), asyncio.Event()
    arrived = asyncio.Event()

    async def load(keep: bool) -> None:
        while not done.is_set():
            async with bare(company) as wire:
                while True:
                    statuses.append((await post(wire, call("read_balance"))).status_code)
                    arrived.set()
                    if done.is_set() or not keep:
                        break

    def shown() -> set[str]:
        tokens = [headers["authorization"].removeprefix("Bearer ") for headers in ledger.headers]
        return {jwt.decode(token, options={"verify_signature": False})["cnf"]["x5t#S256"] for token in tokens}

    agent.say(svid(company))
    async with through_gateway(company, ledger), asyncio.TaskGroup() as tasks:
        for caller in range(4):
            tasks.create_task(load(keep=caller % 2 == 0))
        async with asyncio.timeout(SECONDS * 1.5):
            for _ in range(8):
                leaf, authority = own_leaf(company)
                agent.say(answer(leaf, DOMAIN, {DOMAIN: [authority.certificate]}))
                ledger.headers.clear()
                while leaf.pair.x5t not in shown() or len(ledger.headers) < 8:
                    arrived.clear()
                    await arrived.wait()
        assert await metric(company, FAILURES) == 0
        assert await metric(company, "hopgate_handshakes_refused_total") == 0
        done.set()
    assert len(statuses) > 40
    assert set(statuses) == {200}


async def test_a_removed_root_is_refused_at_once(company: Company, agent: StandIn) -> None:
    partner, ledger = root("partner root"), Ledger()
    company.registry["agents"]["planner"]["spiffe_id"] = f"spiffe://{PARTNER}/agent/planner"
    agent.say(svid(company, partner))
    async with (
        through_gateway(company, ledger),
        from_partner(company, partner) as wire,
        from_partner(company, partner) as streaming,
        asyncio.TaskGroup() as tasks,
    ):
        assert (await post(wire, call("read_balance"))).status_code == 200
        message = call("slow")
        message["params"]["_meta"]["progressToken"] = 1
        stream = tasks.create_task(post(streaming, message))
        await asyncio.wait_for(ledger.started.wait(), SECONDS)

        agent.say(svid(company))
        assert refusal_of(await asyncio.wait_for(stream, SECONDS))[2] == "lease_ended"
        await asyncio.wait_for(ledger.cancelled.wait(), SECONDS)
        answer = await post(wire, call("read_balance"))
        assert (answer.status_code, answer_of(answer)["error"]["data"]["reason"]) == (403, "trust_withdrawn")
        async with from_partner(company, partner) as anew:
            with pytest.raises((httpx2.TransportError, ssl.SSLError)):
                await post(anew, call("read_balance"))
        assert (await ready(company))[0] == 200

        agent.say(svid(company, partner))
        async with asyncio.timeout(SECONDS):
            while True:
                with suppress(httpx2.TransportError):
                    assert (await post(wire, call("read_balance"))).status_code == 200
                    break
                await asyncio.sleep(0.05)


async def test_a_dead_agent_is_outlived_until_the_svid_ends(company: Company, agent: StandIn) -> None:
    agent.say(svid(company, seconds=6))
    async with through_gateway(company, Ledger()), bare(company) as wire:
        await asyncio.to_thread(agent.stop)
        status, found = await until(company, lambda found: bool(found["checks"]["identity"] != "ok"))
        assert (status, found["ready"]) == (200, True), "every gateway of this host has lost its agent now"
        assert f"{agent.socket}: the agent is lost" in found["checks"]["identity"]
        assert "the last SVID serves for another" in found["checks"]["identity"]
        async with bare(company) as anew:
            assert (await post(anew, call("read_balance"))).status_code == 200
        assert (await post(wire, call("read_balance"))).status_code == 200

        assert await reason_once_refused(wire) in WITHDRAWN
        status, found = await until(company, lambda found: not found["ready"])
        assert status == 503
        assert "there is no SVID to use" in found["checks"]["identity"]
        assert await metric(company, EXPIRES) == 0
        assert await metric(company, FAILURES) > 0
        for agents_name in ("planner", None):
            async with bare(company, agents_name) as anew:
                with pytest.raises(httpx2.TransportError):
                    await post(anew, call("read_balance"))

        agent.say(svid(company))
        agent.start()
        status, found = await until(company, lambda found: bool(found["ready"]))
        assert (status, found["checks"]["identity"]) == (200, "ok")
        assert (await post(wire, call("read_balance"))).status_code == 200
        async with bare(company) as anew:
            assert (await post(anew, call("read_balance"))).status_code == 200


async def test_a_denied_svid_is_given_up_at_once(
    company: Company, agent: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.say(svid(company))
    async with through_gateway(company, Ledger()), bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
        agent.say(grpc.StatusCode.PERMISSION_DENIED)
        _, found = await until(company, lambda found: not found["ready"])
        assert "register an entry" in found["checks"]["identity"]
        assert refusal_of(await post(wire, call("read_balance")))[2] == "trust_withdrawn"
    said = [line for line in capsys.readouterr().err.splitlines() if '"event": "identity"' in line]
    assert len(said) == 1, "each new attempt is denied too, and says nothing new"
    assert "register an entry" in said[0]
    assert '"usable": false' in said[0]
