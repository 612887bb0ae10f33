"""Handshakes at the running gateway: who gets in, who doesn't, and that every refusal is counted by its reason."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from gateway.core.audit import RefusedRecord
from tests.company import DOMAIN, Company
from tests.gateways import running
from tests.identity.pki import Issued, Shape, key_usage, root
from tests.wire.agent import bearing, refusal_of, sending

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANNER = f"spiffe://{DOMAIN}/agent/planner"
REQUEST = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
PAST = datetime.now(UTC) - timedelta(seconds=1)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def company(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    made = Company(tmp_path_factory.mktemp("company"))
    async with running(made):
        yield made


def authority(company: Company) -> Issued:
    """The company's own CA, to issue what it never would."""
    certificate = x509.load_pem_x509_certificate((company.ca / "ca.pem").read_bytes())
    return Issued(certificate, load_pem_private_key((company.ca / "ca-key.pem").read_bytes(), None))


def presenting(company: Company, identity: Issued | None) -> ssl.SSLContext:
    context = company.anyone()
    if identity is not None:
        file = company.directory / "presented.pem"
        file.write_bytes(identity.pair.certificates_pem + identity.pair.key_pem)
        context.load_cert_chain(file)
    return context


async def exchange(port: int, context: ssl.SSLContext) -> bytes:
    """What a GET is answered; empty, or an ssl.SSLError, where the handshake is refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
    try:
        writer.write(REQUEST)
        return await reader.read()
    finally:
        writer.close()


async def refused(company: Company, reason: str) -> float:
    """How many handshakes were refused for ``reason`` so far."""
    async with httpx.AsyncClient() as http:
        lines = (await http.get(f"http://127.0.0.1:{company.health_port}/metrics")).text.splitlines()
    counted = [line for line in lines if line.startswith(f'hopgate_handshakes_refused_total{{reason="{reason}"}}')]
    return float(counted[0].split()[-1]) if counted else 0.0


@pytest.mark.parametrize(
    ("issue", "reason"),
    [
        (lambda ca: None, "handshake"),
        (lambda ca: root("another").issue("leaf", Shape(uris=[PLANNER])), "handshake"),
        (lambda ca: root("itself", uris=[PLANNER]), "handshake"),
        (lambda ca: ca.issue("leaf", Shape(uris=[PLANNER], not_after=PAST)), "handshake"),
        (lambda ca: ca.issue("leaf", Shape(uris=[PLANNER, f"spiffe://{DOMAIN}/agent/cron"])), "spiffe_id"),
        (lambda ca: ca.issue("leaf", Shape(dns=["planner"])), "spiffe_id"),
        (lambda ca: ca.issue("leaf", Shape(uris=[PLANNER], ca=True, usage=key_usage(False))), "ca_leaf"),
        (lambda ca: ca.issue("leaf", Shape(uris=["spiffe://other.test/agent/planner"])), "trust_domain"),
    ],
    ids=["none", "another CA", "self-signed", "expired", "two IDs", "no ID", "a CA", "another domain's ID"],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_that_proves_nothing_ends_the_handshake(
    company: Company, issue: Callable[[Issued], Issued | None], reason: str, version: ssl.TLSVersion
) -> None:
    context = presenting(company, issue(authority(company)))
    context.minimum_version = context.maximum_version = version
    before = await refused(company, reason)
    with suppress(ssl.SSLError, ConnectionError):
        assert await exchange(company.data_port, context) == b""
    assert await refused(company, reason) == before + 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_registered_agents_svid_is_let_in(company: Company, version: ssl.TLSVersion) -> None:
    context = company.client("planner")
    context.minimum_version = context.maximum_version = version
    assert (await exchange(company.data_port, context)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_older_tls_is_not_spoken(company: Company) -> None:
    context = company.client("planner")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await exchange(company.data_port, context)


@pytest.mark.parametrize(("agent", "reason"), [("stranger", "agent_unregistered"), ("retired", "agent_suspended")])
async def test_a_genuine_identity_that_may_not_call(company: Company, agent: str, reason: str) -> None:
    url = f"{company.data_url}/a2a/analyst"
    async with httpx.AsyncClient(verify=company.client(agent), headers=bearing(company.token(url))) as http:
        response = await http.post(url, json=sending("hello"), headers={"A2A-Version": "1.0"})
    assert refusal_of(response) == (403, 1403, reason)
    record = company.records()[-1].record
    assert isinstance(record, RefusedRecord)
    assert record.agent is not None
    assert (record.reason, record.agent.spiffe_id) == (reason, f"spiffe://{DOMAIN}/agent/{agent}")


async def test_no_ticket_is_given_and_no_session_resumed(company: Company) -> None:
    context = company.client("planner")

    def connect(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
        plain = socket.create_connection(("127.0.0.1", company.data_port))
        with plain, context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as connection:
            connection.sendall(REQUEST)
            while connection.recv(4096):
                pass
            return connection.session, connection.session_reused

    first, _ = await asyncio.to_thread(connect, None)
    assert first is not None
    assert not first.has_ticket
    _, reused = await asyncio.to_thread(connect, first)
    assert not reused


async def test_the_public_listener_asks_for_no_certificate(company: Company) -> None:
    assert (await exchange(company.public_port, company.anyone())).startswith(b"HTTP/1.1 200 OK\r\n")
    for port, asks in ((company.public_port, False), (company.data_port, True)):
        assert (b"Requested Signature Algorithms" in await s_client(company, port)) is asks


async def s_client(company: Company, port: int) -> bytes:
    """What ``openssl s_client`` tells of the handshake."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    bundle = str(company.ca / "ca.pem")
    process = await asyncio.create_subprocess_exec(
        openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", bundle,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return output


async def test_a_federated_domains_root_vouches_for_its_own_domain_only(tmp_path: Path) -> None:
    company, other = Company(tmp_path), root("other root")
    files = company.svid("hopgate")
    federated = tmp_path / "other.pem"
    federated.write_bytes(other.certificate.public_bytes(Encoding.PEM))
    company.settings["identity"] = {
        "trust_domain": DOMAIN,
        "source": "pem",
        "pem": {
            "certificate": str(files.certificate),
            "key": str(files.key),
            "trust_bundles": {DOMAIN: str(files.bundle), "other.test": str(federated)},
        },
    }
    async with running(company):
        # OpenSSL alone takes this for the planner: the root is one that it knows.
        forged = presenting(company, other.issue("leaf", Shape(uris=[PLANNER])))
        with suppress(ssl.SSLError, ConnectionError):
            assert await exchange(company.data_port, forged) == b""
        assert await refused(company, "path") == 1
        own = presenting(company, other.issue("leaf", Shape(uris=["spiffe://other.test/agent/planner"])))
        assert (await exchange(company.data_port, own)).startswith(b"HTTP/1.1 200 OK\r\n")
