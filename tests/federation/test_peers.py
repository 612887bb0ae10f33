"""Peers that change while the gateway runs, and keys that are fetched from the peer itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from a2a.client.errors import A2AClientError

from gateway.core.audit import DecisionRecord
from gateway.identity.signer import generate_key_pem, load_signer
from tests.app.health import until
from tests.federation.sides import GATEWAY_A, Sides, everyone, reason_of, sides
from tests.gateways import mcp_client
from tests.wire.agent import asking, bare, heard, question, refusal_of, said, sending


@asynccontextmanager
async def reloaded(found: Sides) -> AsyncIterator[None]:
    """b.test's settings changed in the block are in force after it."""
    before = await until(found.b, lambda found: bool(found["ready"]))
    yield
    found.b.write()
    await until(found.b, lambda now: now["generation"] > before[1]["generation"])


async def test_keys_are_fetched_from_the_peer_by_mutual_tls(tmp_path: Path) -> None:
    pair = sides(tmp_path)
    at_b = pair.b.settings["federation"]["peers"]["a"]
    del at_b["jwks_file"]
    at_b["jwks_uri"] = f"{pair.a.data_url}/.well-known/jwks.json"
    async with everyone(pair):
        async with asking(pair.a, "planner") as client:
            assert said(await heard(client, "hello")) == "analyst: hello"
        stranger = load_signer(generate_key_pem())
        forged = await pair.redeem(pair.assertion(signer=stranger))
        assert reason_of(forged) == (400, "invalid_grant", "token_signature")


async def test_keys_of_somebody_else_are_not_taken(tmp_path: Path) -> None:
    """What the URL serves counts only if the peer's own SVID proves it; here it is an agent's of the same domain."""
    pair = sides(tmp_path)
    at_b = pair.b.settings["federation"]["peers"]["a"]
    del at_b["jwks_file"]
    at_b["jwks_uri"] = f"https://127.0.0.1:{pair.a.upstreams['planner']}/.well-known/jwks.json"
    async with everyone(pair):
        reply = await pair.redeem(pair.assertion())
    assert (reply.status_code, reply.json()["reason"]) == (503, "keys_unavailable")


async def test_a_peer_that_is_taken_out_ends_its_chains(tmp_path: Path) -> None:
    pair = sides(tmp_path)
    async with everyone(pair):
        async with asking(pair.a, "planner") as client:
            assert said(await heard(client, "hello")) == "analyst: hello"
        downstream = pair.analyst.headers[-1]["authorization"].removeprefix("Bearer ")
        async with mcp_client(pair.b, "analyst", token=downstream) as ledger:
            await ledger.call_tool("read_balance", {"account": "payroll"})
        async with reloaded(pair):
            peer = pair.b.settings["federation"]["peers"].pop("a")
            pair.b.settings["federation"]["peers"]["other"] = peer | {"spiffe_id": "spiffe://a.test/another"}
        reply = await pair.redeem(pair.assertion())
        assert (reply.status_code, reply.json()["reason"]) == (401, "agent_unregistered")
        async with bare(pair.b, "analyst", "analyst", token=downstream) as again:
            assert refusal_of(await again.post(sending("hello")))[::2] == (403, "chain_forged")


async def test_a_suspended_foreign_agent_is_refused_with_the_token_that_was_issued_before(tmp_path: Path) -> None:
    pair = sides(tmp_path)
    async with everyone(pair):
        token = (await pair.redeem(pair.assertion())).json()["access_token"]
        async with reloaded(pair):
            pair.b.registry["agents"]["planner"]["status"] = "suspended"
        headers = {"Authorization": f"Bearer {token}", "A2A-Version": "1.0"}
        async with httpx2.AsyncClient(verify=pair.tls(pair.a, "hopgate"), headers=headers) as http:
            reply = await http.post(f"{pair.b.data_url}/a2a/analyst", json=sending("hello"))
        assert (reply.status_code, reply.json()["error"]["data"]["reason"]) == (403, "agent_suspended")
        assert reason_of(await pair.redeem(pair.assertion()))[2] == "agent_suspended"


async def ended(stream: AsyncIterator[object]) -> None:
    """Read until the stream ends."""
    async for _ in stream:
        pass


async def test_an_open_stream_ends_with_its_peer(tmp_path: Path) -> None:
    pair = sides(tmp_path)
    async with everyone(pair), asking(pair.a, "planner") as client:
        stream = client.send_message(question("steps 2"))
        await anext(stream)
        async with reloaded(pair):
            pair.b.settings["federation"]["peers"] = {}
        with pytest.raises(A2AClientError):
            await ended(stream)
    outcomes = [each.outcome for each in pair.b.records() if isinstance(each.record, DecisionRecord)]
    cut = next(outcome for outcome in outcomes if outcome is not None and outcome.reason == "lease_ended")
    assert cut.detail.endswith("is no peer gateway any more")


async def test_the_peer_s_refusal_reaches_the_agent_as_a_reason_and_nothing_else(tmp_path: Path) -> None:
    pair = sides(tmp_path)
    pair.b.registry["agents"]["planner"]["status"] = "suspended"
    async with everyone(pair), bare(pair.a, "planner") as route:
        reply = await route.post(sending("hello"))
    error = reply.json()["error"]
    assert (reply.status_code, error["data"]["reason"]) == (502, "peer_refused")
    assert "agent_suspended" in str(error)
    assert "planner is suspended" not in str(error)


async def test_a_record_names_the_agent_and_the_gateway_that_spoke_for_it(tmp_path: Path) -> None:
    pair = sides(tmp_path)
    async with everyone(pair), asking(pair.a, "planner") as client:
        assert said(await heard(client, "hello")) == "analyst: hello"
    records = [each.record for each in pair.b.records() if isinstance(each.record, DecisionRecord)]
    issued = [each for each in records if each.action == "federateChain"]
    asked = [each for each in records if each.action == "delegate"]
    for record in (*issued, *asked):
        assert record.agent is not None
        assert (record.agent.name, record.agent.gateway) == ("planner", GATEWAY_A)
        assert record.agent.x5t == pair.x5t(pair.a)
