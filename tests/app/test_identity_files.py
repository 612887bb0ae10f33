"""Certificates from files: what is wrong with a new one is said in log, metric and readiness while the old one serves,
an SVID that ends is refused by the gateway itself, and the public listener's web certificate renews on its own."""

import asyncio
import json
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.app import PartError
from gateway.identity.dev import issue_svid
from tests.app.health import SECONDS, WITHDRAWN, metric, reason_once_refused, until
from tests.company import DOMAIN, Company
from tests.gateways import running, serving
from tests.identity.pki import Issued, Shape
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, through_gateway

FAILURES = "hopgate_identity_failures_total"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    company.settings["identity"] = {
        "trust_domain": DOMAIN,
        "source": "pem",
        "pem": {"certificate": "own.pem", "key": "own-key.pem", "trust_bundles": {DOMAIN: "ca/ca.pem"}},
    }
    write(company, "own")
    return company


def write(company: Company, name: str, *, seconds: float = 3600, path: str = "hopgate") -> bytes:
    """A fresh SVID by the company's CA as ``<name>.pem`` and ``<name>-key.pem``; its certificate."""
    company.svid("agent/planner")
    key: Any = load_pem_private_key((company.ca / "ca-key.pem").read_bytes(), None)
    authority = Issued(x509.load_pem_x509_certificate((company.ca / "ca.pem").read_bytes()), key)
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    leaf = authority.issue(name, Shape(uris=[f"spiffe://{DOMAIN}/{path}"], ips=["127.0.0.1"], not_after=end))
    (company.directory / f"{name}-key.pem").write_bytes(leaf.pair.key_pem)
    (company.directory / f"{name}.pem").write_bytes(leaf.pair.certificates_pem)
    return leaf.der[0]


async def shown(company: Company, port: int) -> bytes:
    """The certificate that a listener shows to a new connection."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=company.client("planner"))
    certificate = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return bytes(certificate)


async def until_shown(company: Company, port: int, certificate: bytes) -> None:
    async with asyncio.timeout(SECONDS):
        while await shown(company, port) != certificate:  # noqa: ASYNC110 - another process's change has no event
            await asyncio.sleep(0.05)


async def test_a_broken_renewal_is_said_everywhere_and_the_old_one_serves(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    async with through_gateway(company, Ledger()), bare(company) as wire:
        (company.directory / "own.pem").write_text("rubbish")
        status, found = await until(company, lambda found: bool(found["checks"]["identity"] != "ok"))
        assert (status, found["ready"]) == (200, True)
        assert found["checks"]["identity"].startswith(f"identity.pem: {company.directory}/own.pem: holds no PEM")
        assert await metric(company, FAILURES) > 0
        assert (await post(wire, call("read_balance"))).status_code == 200
        certificate = write(company, "own")
        await until(company, lambda found: bool(found["checks"]["identity"] == "ok"))
        assert await shown(company, company.data_port) == certificate
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"event": "identity"' in line]
    assert [(each["level"], each["usable"]) for each in said] == [("error", True), ("info", True)]


async def test_an_svid_that_ends_is_given_up(company: Company) -> None:
    write(company, "own", seconds=6)
    async with through_gateway(company, Ledger()), bare(company) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
        assert await reason_once_refused(wire) in WITHDRAWN
        status, found = await until(company, lambda found: not found["ready"])
        assert status == 503
        assert "identity.pem: the gateway's own certificate is not a valid SVID" in found["checks"]["identity"]
        write(company, "own")
        await until(company, lambda found: bool(found["ready"]))
        assert (await post(wire, call("read_balance"))).status_code == 200


async def test_the_web_certificate_renews_on_its_own(company: Company) -> None:
    company.settings["identity"]["public"] = {"certificate": "web.pem", "key": "web-key.pem"}
    before = write(company, "web", path="web")
    async with running(company):
        own = await shown(company, company.data_port)
        assert await shown(company, company.public_port) == before
        await until_shown(company, company.public_port, write(company, "web", path="web"))
        assert await shown(company, company.data_port) == own

        (company.directory / "web-key.pem").write_text("rubbish")
        _, found = await until(company, lambda found: bool(found["checks"]["identity"] != "ok"))
        assert found["ready"]
        assert found["checks"]["identity"].startswith("identity.public: ")
        certificate = write(company, "own")
        await until_shown(company, company.data_port, certificate)
        assert await shown(company, company.public_port) != certificate


async def test_an_svid_of_another_trust_domain_is_none(company: Company, tmp_path: Path) -> None:
    files = issue_svid(tmp_path / "other", "spiffe://other.test/hopgate", tmp_path / "other", "own")
    pem = company.settings["identity"]["pem"]
    pem |= {"certificate": str(files.certificate), "key": str(files.key)}
    pem["trust_bundles"]["other.test"] = str(files.bundle)
    with pytest.raises(ExceptionGroup) as raised:
        async with running(company):
            pytest.fail("it serves")
    (error,) = raised.value.exceptions
    assert isinstance(error, PartError)
    assert "the SVID is spiffe://other.test/hopgate, not of identity.trust_domain demo.test" in str(error)


async def test_sighup_reads_what_looks_unchanged_and_says_what_it_refuses(company: Company) -> None:
    policy = company.directory / "policies/platform/more.cedar"
    company.policies["platform/more.cedar"] = '@id("more-1") forbid (principal, action == Action::"notify", resource);'
    async with serving(company) as process:
        seen = policy.stat()
        policy.write_text(policy.read_text().replace("more-1", "more-2"))
        os.utime(policy, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        process.send_signal(signal.SIGHUP)
        await until(company, lambda found: bool(found["generation"] == 2))

        policy.write_text(policy.read_text().replace("notify", "notifi"))
        os.utime(policy, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        process.send_signal(signal.SIGHUP)
        status, found = await until(company, lambda found: bool(found["configuration"] != "ok"))
        assert (status, found["generation"]) == (200, 2)
        assert found["configuration"].startswith(f"refused, generation 2 stays: {policy}")
        assert await metric(company, "hopgate_snapshot_generation") == 2
        assert await metric(company, "hopgate_snapshot_failures_total") >= 1
        assert process.returncode is None
    events = []
    for line in (company.directory / "gateway.log").read_text().splitlines():
        with suppress(ValueError):
            events.append(json.loads(line))
    assert [each["event"] for each in events][:2] == ["published", "configuration refused"]
    assert "more.cedar" in events[1]["problem"]


async def test_the_public_document_is_served_with_the_web_certificate(company: Company) -> None:
    company.settings["identity"]["public"] = {"certificate": "web.pem", "key": "web-key.pem"}
    write(company, "web", path="web")
    async with running(company), httpx2.AsyncClient(verify=company.anyone()) as http:
        assert (await http.get(f"{company.public_url}/.well-known/jwks.json")).status_code == 200
