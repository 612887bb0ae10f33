"""JWT-SVIDs on the wire: where they prove an agent, where they mean nothing, and what they can't do."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core.audit import DecisionRecord, RefusedRecord
from gateway.core.reasons import Reason
from tests.company import Company
from tests.identity.issuing import public_jwk
from tests.wire.delegate import delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, call, headers_of, record_of, refusal_of, through_gateway
from tests.wire.test_faults_store import locked

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ, NAME = call("read_balance"), "Hopgate-Workload-Token"


@dataclass
class Stage:
    company: Company
    ledger: Ledger
    key: Any
    held: str
    """A hop token that the analyst received."""

    @property
    def resource(self) -> str:
        return f"{self.company.public_url}/mcp/ledger"

    def svid(self, agent: str = "cron", **claims: Any) -> str:
        """A JWT-SVID as SPIRE mints them."""
        now = int(time.time())
        whole = {"sub": f"spiffe://demo.test/agent/{agent}", "aud": [self.resource], "iat": now, "exp": now + 120}
        return jwt.encode(whole | {"jti": str(uuid.uuid4())} | claims, self.key, "ES256", headers={"kid": "k"})

    async def ask(self, svid: str | None, token: str | None = None, *, data: str = "") -> httpx2.Response:
        """A call at the public listener; at the data listener with the certificate of ``data``."""
        headers = headers_of(READ) | ({} if svid is None else {NAME: svid})
        async with bare(self.company, data or None, token=None) as wire:
            bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
            return await wire.http.post(wire.url, json=READ, headers=headers | bearer)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    key = ec.generate_private_key(ec.SECP256R1())
    company.directory.joinpath("bundle.json").write_text(
        json.dumps({"keys": [public_jwk(key, "k", use="jwt-svid")], "spiffe_sequence": 1})
    )
    company.settings["identity"]["jwt_svid"] = {"bundles": {"demo.test": "bundle.json"}}
    company.settings["routes"]["mcp"]["ledger"]["jwt_svid"] = True
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        yield Stage(company, ledger, key, await delegated(company, analyst))


async def test_an_agent_calls_for_itself(stage: Stage) -> None:
    reply = await stage.ask(stage.svid())
    assert reply.status_code == 200, reply.text
    record = stage.company.records()[-1].record
    assert isinstance(record, DecisionRecord)
    assert record.agent is not None
    assert (record.agent.name, record.agent.proof, record.agent.x5t) == ("cron", "jwt-svid", "")
    arrived = stage.ledger.headers[-1]
    assert NAME.lower() not in arrived
    claims = jwt.decode(arrived["authorization"].removeprefix("Bearer "), options={"verify_signature": False})
    assert (claims["sub"], claims["act"]) == ("spiffe://demo.test/agent/cron", {"sub": "spiffe://demo.test/agent/cron"})


async def test_an_agent_calls_for_its_user(stage: Stage) -> None:
    reply = await stage.ask(stage.svid("planner"), stage.company.token(stage.resource))
    assert reply.status_code == 200, reply.text
    record = stage.company.records()[-1].record
    assert isinstance(record, DecisionRecord)
    assert (record.user, record.chain.agents, record.chain.depth) == ("corp|maria", ("planner",), 1)


async def test_it_serves_once(stage: Stage) -> None:
    svid = stage.svid()
    assert (await stage.ask(svid)).status_code == 200
    before = len(stage.ledger.headers)
    reply = await stage.ask(svid)
    assert refusal_of(reply)[::2] == (403, Reason.WORKLOAD_TOKEN_SPENT)
    record = record_of(stage.company, reply).record
    assert isinstance(record, RefusedRecord)
    assert record.agent is not None
    assert record.agent.name == "cron"
    assert len(stage.ledger.headers) == before


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["https://other.test/mcp/ledger"]},
        {"exp": int(time.time()) + 9999},
        {"sub": "spiffe://other.test/agent/cron"},
        {"sub": "cron"},
    ],
)
async def test_what_does_not_prove_its_sender_is_refused(stage: Stage, claims: dict[str, Any]) -> None:
    reply = await stage.ask(stage.svid(**claims), stage.company.token(stage.resource))
    assert refusal_of(reply)[::2] == (403, Reason.WORKLOAD_TOKEN)
    assert answer_of(reply)["error"]["data"].get("decision_id") is None


async def test_it_continues_no_chain(stage: Stage) -> None:
    reply = await stage.ask(stage.svid("analyst"), stage.held)
    assert refusal_of(reply)[::2] == (403, Reason.CHAIN_HOLDER)
    async with bare(stage.company, "analyst", token=stage.held) as wire:
        assert (await wire.http.post(wire.url, json=READ, headers=headers_of(READ))).status_code == 200


async def test_no_token_is_bound_to_it(stage: Stage) -> None:
    for x5t in ("", "A" * 43):
        bound = stage.company.token(stage.resource, cnf={"x5t#S256": x5t})
        assert refusal_of(await stage.ask(stage.svid("planner"), bound))[2] == Reason.TOKEN_CLAIMS


async def test_on_the_data_listener_the_certificate_counts(stage: Stage) -> None:
    reply = await stage.ask(stage.svid("auditor"), data="cron")
    assert reply.status_code == 200
    record = stage.company.records()[-1].record
    assert isinstance(record, DecisionRecord)
    assert record.agent is not None
    assert (record.agent.name, record.agent.proof) == ("cron", "x509-svid")


async def test_on_a_route_that_takes_none_it_means_nothing(stage: Stage) -> None:
    url = f"{stage.company.public_url}/a2a/analyst"
    async with httpx2.AsyncClient(verify=stage.company.anyone()) as http:
        svid = stage.svid("planner", aud=[url])
        token = stage.company.token(url)
        message = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": {
            "messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}}}  # fmt: skip
        headers = {NAME: svid, "Authorization": f"Bearer {token}", "A2A-Version": "1.0"}
        reply = await http.post(url, json=message, headers=headers)
    assert "agents only" in reply.text or "entry_point_required" in reply.text


async def test_two_of_the_header_are_none(stage: Stage) -> None:
    async with bare(stage.company, None, token=None) as wire:
        headers = [*headers_of(READ).items(), (NAME, stage.svid()), (NAME, stage.svid())]
        reply = await wire.http.post(wire.url, json=READ, headers=headers)
    assert reply.status_code == 400
    assert "header_duplicate" in reply.text


async def test_while_it_can_not_be_told_whether_it_is_spent_it_is_refused(stage: Stage) -> None:
    svid, before = stage.svid(), len(stage.ledger.headers)
    async with locked(stage.company.directory / "hopgate.db"):
        assert refusal_of(await stage.ask(svid))[::2] == (503, Reason.STORE_UNAVAILABLE)
    assert len(stage.ledger.headers) == before
    assert (await stage.ask(svid)).status_code == 200


async def test_a_key_that_leaves_the_bundle_verifies_nothing_more(stage: Stage) -> None:
    """Last: it takes the key away."""
    old, stage.key = stage.svid(), ec.generate_private_key(ec.SECP256R1())
    assert refusal_of(await stage.ask(stage.svid()))[2] == Reason.WORKLOAD_TOKEN
    stage.company.directory.joinpath("bundle.json").write_text(
        json.dumps({"keys": [public_jwk(stage.key, "k", use="jwt-svid")]})
    )
    until = time.monotonic() + 10
    while (await stage.ask(stage.svid())).status_code != 200:
        assert time.monotonic() < until
    assert refusal_of(await stage.ask(old))[2] == Reason.WORKLOAD_TOKEN
