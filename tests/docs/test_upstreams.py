"""``docs/UPSTREAMS.md``: its servers as printed, behind a real gateway, and against everything they must refuse."""

import base64
import os
import ssl
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
import pytest_asyncio

from gateway.identity.dev import ensure
from gateway.identity.material import KeyPair, read_key_pair
from gateway.identity.signer import Signer, generate_key_pem, load_signer
from tests.company import DOMAIN, Company
from tests.docs.pages import files, steps
from tests.docs.test_clients import background, install
from tests.gateways import running
from tests.peers.parts import require
from tests.wire.mcp_calls import answer_of, bare, call, headers_of, post

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = (Path(__file__).parents[2] / "docs" / "UPSTREAMS.md").read_text()
SECTIONS = {"python": PAGE.split("\n## ")[1], "node": PAGE.split("\n## ")[2]}
READ = call("read_balance")
PLANNER, ANALYST = "spiffe://demo.test/agent/planner", "spiffe://demo.test/agent/analyst"


@dataclass
class Upstream:
    """A server of the page's in the ledger's place, and what it takes to call it as the gateway does."""

    company: Company
    signer: Signer
    own: KeyPair
    """The gateway's."""

    @property
    def audience(self) -> str:
        return f"{self.company.data_url}/mcp/ledger"

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a hop token; None leaves one out."""
        now = int(time.time())
        found = {
            "iss": self.company.public_url, "sub": "corp|maria", "aud": self.audience, "client_id": PLANNER,
            "iat": now, "nbf": now, "exp": now + 60, "jti": str(uuid.uuid4()), "txn": "t",
            "scope": "ledger/read_balance", "act": {"sub": PLANNER}, "del_depth": 1,
            "cnf": {"x5t#S256": self.own.x5t}, "root_exp": now + 900,
        } | changed  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}

    async def ask(self, authorization: str | None, pair: KeyPair | None = None) -> httpx2.Response:
        """Call it directly, with the gateway's certificate or another one."""
        context = self.company.anyone()
        with_certificate(context, pair or self.own, self.company.directory)
        headers = headers_of(READ) | ({} if authorization is None else {"Authorization": authorization})
        async with httpx2.AsyncClient(verify=context, headers=headers, timeout=20) as http:
            return await http.post(f"https://127.0.0.1:{self.company.upstreams['ledger']}/mcp", json=READ)


def with_certificate(context: ssl.SSLContext, pair: KeyPair, directory: Path) -> None:
    file = directory / "shown.pem"
    file.write_bytes(pair.certificates_pem + pair.key_pem)
    context.load_cert_chain(file)


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["python-ES256", "python-EdDSA", "node-ES256", "node-EdDSA"]
)
async def upstream(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Upstream]:
    language, algorithm = request.param.split("-")
    company, desk = Company(tmp_path_factory.mktemp("company")), tmp_path_factory.mktemp("desk")
    for file, code in files(SECTIONS[language]).items():
        (desk / file).write_text(code)
    pem = generate_key_pem(algorithm)
    company.settings["keys"]["signing"] = {"file": "signing.pem", "algorithm": algorithm}
    (company.directory / "signing.pem").write_bytes(pem)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(company))
        for command, expected in steps(SECTIONS[language]):
            if command.endswith("&"):
                await stack.enter_async_context(background(command, expected, desk, environment_of(company)))
            else:
                install(command.replace("[crypto]", ""), desk)
        yield Upstream(company, load_signer(pem), ensure(company.ca, DOMAIN).own)


def environment_of(company: Company) -> Mapping[str, str]:
    svid = company.svid("server/ledger")
    return {
        "PATH": f"{Path(sys.executable).parent}:{require('node').parent}:{os.environ['PATH']}",
        "ISSUER": company.public_url,
        "GATEWAY": "spiffe://demo.test/hopgate",
        "AUDIENCE": f"{company.data_url}/mcp/ledger",
        "CERT": str(svid.certificate),
        "KEY": str(svid.key),
        "CA": str(svid.bundle),
        "NODE_EXTRA_CA_CERTS": str(svid.bundle),
        "PORT": str(company.upstreams["ledger"]),
    }


async def test_through_the_gateway_it_knows_who_calls_for_whom(upstream: Upstream) -> None:
    async with bare(upstream.company) as wire:
        reply = await post(wire, READ)
    assert reply.status_code == 200, reply.text
    text = answer_of(reply)["result"]["content"][0]["text"]
    assert text == f"for corp|maria by {PLANNER}: ledger/read_balance"


async def test_a_longer_chain_is_told_in_order(upstream: Upstream) -> None:
    longer = upstream.claims(act={"sub": ANALYST, "act": {"sub": PLANNER}}, del_depth=2)
    reply = await upstream.ask(f"Bearer {upstream.signer.sign(longer)}")
    assert reply.status_code == 200, reply.text
    assert answer_of(reply)["result"]["content"][0]["text"].startswith(f"for corp|maria by {ANALYST} by {PLANNER}:")


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://127.0.0.1/mcp/payments"},
        {"aud": ["https://127.0.0.1/mcp/payments", None]},
        {"aud": None},
        {"iss": "https://evil.test"},
        {"iss": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"nbf": None},
        {"sub": None},
        {"jti": None},
        {"cnf": None},
        {"cnf": {}},
        {"cnf": {"x5t#S256": "A" * 43}},
        {"del_depth": 2},
        {"del_depth": 0},
        {"act": None},
    ],
    ids=str,
)
async def test_another_token_is_refused(upstream: Upstream, changed: dict[str, Any]) -> None:
    if isinstance(changed.get("aud"), list):
        changed = {"aud": [changed["aud"][0], upstream.audience]}
    reply = await upstream.ask(f"Bearer {upstream.signer.sign(upstream.claims(**changed))}")
    assert reply.status_code == 401, reply.text


async def test_a_token_of_just_now_is_refused_once_it_ends(upstream: Upstream) -> None:
    now = int(time.time())
    ended = upstream.claims(iat=now - 120, nbf=now - 120, exp=now - 1, root_exp=now + 600)
    assert (await upstream.ask(f"Bearer {upstream.signer.sign(ended)}")).status_code == 401


async def test_what_is_no_hop_token_is_refused(upstream: Upstream) -> None:
    claims, stranger = upstream.claims(), load_signer(generate_key_pem(upstream.signer.algorithm))
    good = upstream.signer.sign(claims)
    payload = good.split(".")[1]
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    by_name = {"kid": upstream.signer.kid, "typ": "at+jwt"}
    wrong = [
        None,
        "",
        "Bearer",
        f"Basic {good}",
        f"Bearer {good[:-8]}AAAAAAAA",
        f"Bearer {stranger.sign(claims)}",
        f"Bearer {none}.{payload}.",
        "Bearer " + jwt.encode(claims, "k" * 32, "HS256", headers=by_name),
        "Bearer " + upstream.signer.sign_bytes(base64_decoded(payload), {"typ": "JWT"}),
        "Bearer " + upstream.signer.sign_bytes(base64_decoded(payload), {}),
    ]
    for authorization in wrong:
        assert (await upstream.ask(authorization)).status_code == 401, authorization
    assert (await upstream.ask(f"Bearer {good}")).status_code == 200


def base64_decoded(payload: str) -> bytes:
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))


async def test_the_token_serves_only_with_the_gateways_certificate(upstream: Upstream) -> None:
    good = f"Bearer {upstream.signer.sign(upstream.claims())}"
    renewed, agent = (upstream.company.svid(path) for path in ("hopgate", "agent/planner"))
    for files_ in (renewed, agent):
        pair = read_key_pair(files_.certificate, files_.key)
        assert (await upstream.ask(good, pair)).status_code == 401
    # A certificate of its own is not enough even with a token that is bound to it: it is not the gateway.
    pair = read_key_pair(agent.certificate, agent.key)
    bound = upstream.signer.sign(upstream.claims(cnf={"x5t#S256": pair.x5t}))
    assert (await upstream.ask(f"Bearer {bound}", pair)).status_code == 401
    async with httpx2.AsyncClient(verify=upstream.company.anyone()) as http:
        with pytest.raises((httpx2.HTTPError, ssl.SSLError)):
            await http.post(f"https://127.0.0.1:{upstream.company.upstreams['ledger']}/mcp", json=READ)
