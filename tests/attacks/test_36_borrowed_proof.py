"""Attack 36: chains in the hands of who is proven by a token or by a mesh proxy's word, and shows no certificate.

Whoever steals a JWT-SVID beside a chain's token or handle would have the chain, and a proxy shows its own certificate,
not its caller's: neither may use what is bound to a certificate, look like the beginning, or exchange for others.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core.reasons import Reason
from gateway.identity.signer import EXCHANGED_TOKEN_TYPE, load_signer
from tests.company import Company
from tests.identity.issuing import public_jwk
from tests.wire.delegate import delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, headers_of, refusal_of, through_gateway
from tests.wire.token_endpoint import ask, error_of, exchange
from tests.wire.tracing import handed, traced

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ, NAME, FORWARDED = call("read_balance"), "Hopgate-Workload-Token", "X-Forwarded-Client-Cert"
AGENT = "spiffe://demo.test/agent/"


class Stage(NamedTuple):
    company: Company
    ledger: Ledger
    key: Any
    held: str
    """The hop token that the analyst received, with its handle."""
    handle: str
    token: str
    """The analyst's of the token endpoint, for the ledger."""

    def signed(self, **changed: Any) -> str:
        """The analyst's token as only a faulty gateway could have made it."""
        claims = jwt.decode(self.token, options={"verify_signature": False})
        signer = load_signer((self.company.directory / "signing.pem").read_bytes())
        return signer.sign({**claims, **changed}, EXCHANGED_TOKEN_TYPE)

    async def by_token(self, agent: str, token: str | None = None, **headers: str) -> tuple[int, int, str] | int:
        """A call at the public listener by a fresh JWT-SVID."""
        now, resource = int(time.time()), f"{self.company.public_url}/mcp/ledger"
        said = {"sub": AGENT + agent, "aud": [resource], "iat": now, "exp": now + 120, "jti": str(uuid.uuid4())}
        svid = jwt.encode(said, self.key, "ES256", headers={"kid": "k"})
        return await self._call(None, token, headers | {NAME: svid})

    async def by_proxy(self, agent: str, token: str | None = None, **headers: str) -> tuple[int, int, str] | int:
        """A call of a mesh proxy that says that ``agent`` calls."""
        return await self._call("envoy", token, headers | {FORWARDED: f"Hash=00;URI={AGENT}{agent}"})

    async def _call(self, who: str | None, token: str | None, more: dict[str, str]) -> tuple[int, int, str] | int:
        before = len(self.ledger.headers)
        async with bare(self.company, who, token=token) as wire:
            reply: httpx2.Response = await wire.http.post(wire.url, json=READ, headers=headers_of(READ) | more)
        if reply.status_code == 200:
            return 200
        assert len(self.ledger.headers) == before
        return refusal_of(reply)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    key = ec.generate_private_key(ec.SECP256R1())
    bundle = {"keys": [public_jwk(key, "k", use="jwt-svid")], "spiffe_sequence": 1}
    company.directory.joinpath("bundle.json").write_text(json.dumps(bundle))
    company.settings["identity"]["jwt_svid"] = {"bundles": {"demo.test": "bundle.json"}}
    company.settings["routes"]["mcp"]["ledger"]["jwt_svid"] = True
    company.settings["listen"]["data"]["mesh"] = [f"{AGENT}envoy"]
    traced(company, "analyst")
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        handle = await handed(company, analyst)
        held = analyst.headers[-1]["authorization"].removeprefix("Bearer ")
        reply = await ask(company, "analyst", exchange(company, held))
        assert reply.status_code == 200, reply.text
        yield Stage(company, ledger, key, held, handle, reply.json()["access_token"])


async def test_what_the_thief_is_after_is_good_in_its_holders_hands(stage: Stage) -> None:
    for token in (stage.held, stage.token):
        async with bare(stage.company, "analyst", token=token) as wire:
            assert (await wire.http.post(wire.url, json=READ, headers=headers_of(READ))).status_code == 200


async def test_a_jwt_svid_continues_no_chain_in_any_way(stage: Stage) -> None:
    assert await stage.by_token("analyst", stage.held) == (403, 1403, Reason.CHAIN_HOLDER)
    assert await stage.by_token("analyst", stage.token) == (401, 1401, Reason.TOKEN_AUDIENCE)
    there = stage.signed(aud=f"{stage.company.public_url}/mcp/ledger")
    assert await stage.by_token("analyst", there) == (401, 1401, Reason.TOKEN_CLAIMS)
    carried = await stage.by_token("analyst", tracestate=f"hopgate={stage.handle}")
    assert carried == (403, 1403, Reason.HANDLE_UNKNOWN)


async def test_a_delegate_by_a_jwt_svid_is_no_beginning(stage: Stage) -> None:
    assert await stage.by_token("analyst") == (401, 1401, Reason.TOKEN_MISSING)
    root = stage.company.token(f"{stage.company.public_url}/mcp/ledger")
    assert await stage.by_token("analyst", root) == (403, 1403, Reason.ENTRY_POINT_REQUIRED)


async def test_a_proxy_continues_only_for_whom_it_names(stage: Stage) -> None:
    assert await stage.by_proxy("analyst", stage.held) == 200
    for other in ("planner", "auditor", "cron"):
        assert await stage.by_proxy(other, stage.held) == (403, 1403, Reason.CHAIN_HOLDER)
        carried = await stage.by_proxy(other, tracestate=f"hopgate={stage.handle}")
        assert carried == (403, 1403, Reason.HANDLE_UNKNOWN)


async def test_nothing_bound_to_a_certificate_serves_a_proxys_caller(stage: Stage) -> None:
    for token in (stage.token, stage.signed(cnf={"x5t#S256": "A" * 43})):
        assert await stage.by_proxy("analyst", token) == (401, 1401, Reason.TOKEN_CLAIMS)


async def test_a_proxy_exchanges_for_nobody(stage: Stage) -> None:
    for subject in (stage.held, stage.token):
        form = exchange(stage.company, subject)
        reply = await ask(stage.company, "envoy", form, x_forwarded_client_cert=f"Hash=00;URI={AGENT}analyst")
        assert error_of(reply) == (401, "invalid_client", Reason.FORWARDED_IDENTITY)
