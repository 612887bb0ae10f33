"""Two companies that trust each other: the planner is a.test's, the analyst and the ledger are b.test's.

Each has a gateway of its own; what a.test's people and planner may do at b.test is written in b.test's settings.
"""

import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.identity.assertions import ASSERTION_TYPE, GRANT_TYPE
from gateway.identity.dev import IssuedFiles, issue_svid
from gateway.identity.signer import Signer, generate_key_pem, load_signer
from gateway.identity.svid import thumbprint
from tests.company import SCOPES, Company
from tests.gateways import asgi, running
from tests.wire.agent import Agent
from tests.wire.ledger import Ledger

A, B = "a.test", "b.test"
RENEWED = "renewed"
PLANNER, ANALYST = f"spiffe://{A}/agent/planner", f"spiffe://{B}/agent/analyst"
GATEWAY_A, GATEWAY_B = f"spiffe://{A}/hopgate", f"spiffe://{B}/hopgate"
FOREIGN_SCOPES = {scope: [scope] for scope in SCOPES if scope != "ledger/pay"}
"""What a.test's scopes are worth at b.test: paying is nothing that a stranger may do."""


@dataclass
class Sides:
    """The two companies, and what is behind b.test's gateway."""

    a: Company
    b: Company
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.planner, self.analyst = Agent(self.a, "planner"), Agent(self.b, "analyst")

    def pem(self, company: Company, *others: Company) -> IssuedFiles:
        """Give the company's gateway an SVID from files, and the roots of ``others``."""
        files = company.svid("hopgate")
        bundles = {each.domain: str(each.svid("hopgate").bundle) for each in (company, *others)}
        pem = {"certificate": str(files.certificate), "key": str(files.key), "trust_bundles": bundles}
        company.settings["identity"] = {"trust_domain": company.domain, "source": "pem", "pem": pem}
        return files

    def signer(self, company: Company) -> Signer:
        """The key that the company's gateway signs with."""
        return load_signer((company.directory / "signing.pem").read_bytes())

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A right assertion of a.test's gateway, for Maria's planner to ask the analyst; with changes."""
        now = int(time.time())
        found = {
            "iss": self.a.public_url,
            "sub": "corp|maria",
            "aud": self.b.public_url,
            "resource": f"{self.b.data_url}/a2a/analyst",
            "client_id": PLANNER,
            "iat": now,
            "nbf": now,
            "exp": now + 60,
            "jti": uuid.uuid4().hex,
            "txn": uuid.uuid4().hex,
            "del_scope": "analyst/delegate ledger/read_balance",
            "del_depth": 1,
            "del_max_depth": 4,
            "root_exp": now + 600,
            "act": {"sub": PLANNER},
            "cnf": {"x5t#S256": self.x5t(self.a)},
        } | changes
        return {name: value for name, value in found.items() if value is not None}

    def x5t(self, company: Company) -> str:
        """Of the certificate of the company's gateway."""
        certificate = x509.load_pem_x509_certificate(company.svid("hopgate").certificate.read_bytes())
        return thumbprint(certificate.public_bytes(Encoding.DER))

    def assertion(self, *, signer: Signer | None = None, typ: str = ASSERTION_TYPE, **changes: Any) -> str:
        """``claims``, signed by a.test's gateway unless by ``signer``."""
        payload = json.dumps(self.claims(**changes)).encode()
        return (signer or self.signer(self.a)).sign_bytes(payload, {"typ": typ})

    async def redeem(
        self, assertion: str, *, resource: str | None = None, by: str = "hopgate", of: Company | None = None
    ) -> httpx2.Response:
        """Present an assertion at b.test's token endpoint as ``by`` of a company, a.test unless said otherwise."""
        form = {
            "grant_type": GRANT_TYPE,
            "assertion": assertion,
            "resource": resource or f"{self.b.data_url}/a2a/analyst",
        }
        async with httpx2.AsyncClient(verify=self.tls(of or self.a, by), timeout=20) as http:
            return await http.post(f"{self.b.data_url}/oauth/token", data=form)

    def tls(self, company: Company, path: str) -> ssl.SSLContext:
        """As ``path`` of the company, towards b.test; ``renewed`` is its gateway with another certificate."""
        files = company.svid(path) if path != RENEWED else renewed(company)
        context = ssl.create_default_context(cafile=str(self.b.svid("hopgate").bundle))
        context.load_cert_chain(files.certificate, files.key)
        return context


def renewed(company: Company) -> IssuedFiles:
    """Another certificate of the company's gateway."""
    spiffe_id = f"spiffe://{company.domain}/hopgate"
    return issue_svid(company.ca, spiffe_id, company.directory / "svids", RENEWED, hosts=("127.0.0.1",))


def sides(directory: Path) -> Sides:
    """Both companies, configured and not yet running."""
    found = Sides(Company(directory / "a", A), Company(directory / "b", B))
    a, b = found.a, found.b
    for company in (a, b):
        company.directory.mkdir(parents=True)
        (company.directory / "signing.pem").write_bytes(generate_key_pem())
    for company, other in ((a, b), (b, a)):
        found.pem(company, other)
        company.settings["routes"] = {"mcp": {"ledger": {"user": "optional"}}}
        (company.directory / "peer.json").write_text(json.dumps(found.signer(other).jwks()))
        company.settings["federation"] = {"peers": {other.domain[0]: peer(other)}}
    b.settings["issuers"] = []
    b.settings["federation"]["peers"]["a"] |= {"users": {"corp": "https://login.demo.test"}, "scopes": FOREIGN_SCOPES}
    _across(found)
    return found


def peer(company: Company) -> dict[str, Any]:
    """How another company's settings name this one's gateway."""
    return {
        "issuer": company.public_url,
        "trust_domain": company.domain,
        "spiffe_id": f"spiffe://{company.domain}/hopgate",
        "token_endpoint": f"{company.data_url}/oauth/token",
        "jwks_file": "peer.json",
    }


def _across(found: Sides) -> None:
    """What is of the other side, in each registry."""
    a, b = found.a, found.b
    at_a, at_b = a.registry, b.registry
    at_a["agents"]["planner"]["upstream"] = {"url": f"https://127.0.0.1:{a.upstreams['planner']}/"}
    at_a["agents"]["analyst"] |= {
        "spiffe_id": ANALYST,
        "upstream": {"url": f"{b.data_url}/a2a/analyst", "gateway": "b"},
    }
    at_a["servers"]["ledger"]["upstream"] = {"url": f"{b.data_url}/mcp/ledger", "gateway": "b"}
    at_b["agents"]["planner"] |= {"spiffe_id": PLANNER, "entry_point": False, "clients": []}
    del at_b["agents"]["planner"]["upstream"]


@asynccontextmanager
async def everyone(found: Sides) -> AsyncIterator[None]:
    """Both gateways, the planner, the analyst and the ledger."""
    a, b = found.a, found.b
    parts: tuple[tuple[Company, Any, str], ...] = (
        (a, found.planner.application, "agent/planner"),
        (b, found.analyst.application, "agent/analyst"),
        (b, found.ledger.application, "server/ledger"),
    )
    async with AsyncExitStack() as stack:
        for company, application, svid in parts:
            port = company.upstreams[svid.partition("/")[2]]
            await stack.enter_async_context(asgi(application, company, svid, port))
        for company in (b, a):
            await stack.enter_async_context(running(company))
        yield


def reason_of(reply: httpx2.Response) -> tuple[int, str, str]:
    """HTTP status, OAuth error and reason of a refused token request."""
    found: Mapping[str, Any] = reply.json()
    return reply.status_code, found["error"], found["reason"]
