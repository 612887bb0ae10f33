"""Attack 33: chains from other trust domains that are replayed, forged, widened, spliced or in the wrong hands.

The attacker holds what a part of a.test's side could hold: a stolen assertion, another SVID, or the gateway's own key.
"""

import asyncio
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
import pytest_asyncio

from gateway.core.audit import DecisionRecord, RefusedRecord
from gateway.identity.signer import generate_key_pem, load_signer
from tests.company import Company
from tests.federation.sides import ANALYST, GATEWAY_B, PLANNER, RENEWED, Sides, everyone, peer, reason_of, sides
from tests.wire.agent import answer_of, asking, heard, said, sending
from tests.wire.mcp_calls import Wire, bare, call, post, refusal_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVALID = "invalid_grant"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def found(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sides]:
    pair = sides(tmp_path_factory.mktemp("sides"))
    pair.b.settings["federation"]["peers"]["a"]["max_depth"] = 2
    other = third(pair)
    pair.pem(pair.b, pair.a, other)
    pair.b.settings["federation"]["peers"]["c"] = peer(other)
    async with everyone(pair):
        yield pair


def third(found: Sides) -> Company:
    """Another company, whose gateway b.test believes as much as a.test's."""
    return Company(found.b.directory.parent / "c", "c.test")


async def token_of(found: Sides, **changes: Any) -> str:
    """An access token of b.test's gateway for a right assertion."""
    reply = await found.redeem(found.assertion(**changes))
    assert reply.status_code == 200, reply.text
    return str(reply.json()["access_token"])


@asynccontextmanager
async def bringing(found: Sides, token: str, by: str = "hopgate", of: Company | None = None) -> AsyncIterator[Any]:
    """A client of b.test's data listener that presents ``token``."""
    headers = {"Authorization": f"Bearer {token}", "A2A-Version": "1.0"}
    async with httpx2.AsyncClient(verify=found.tls(of or found.a, by), headers=headers, timeout=20) as http:
        yield http


async def say(found: Sides, token: str, *, route: str = "a2a/analyst", **who: Any) -> tuple[int, str]:
    """Status, and the reason of the refusal, of a message that is sent with ``token``."""
    async with bringing(found, token, **who) as http:
        reply = await http.post(f"{found.b.data_url}/{route}", json=sending("hello"))
    answer = answer_of(reply)
    return reply.status_code, answer["error"]["data"]["reason"] if "error" in answer else ""


def last(company: Company) -> Any:
    return company.records()[-1].record


async def test_a_right_assertion_is_worth_a_token_and_one_call_after_another(found: Sides) -> None:
    token = await token_of(found)
    assert await say(found, token) == (200, "")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == (found.b.public_url, f"{found.b.data_url}/a2a/analyst")
    assert claims["cnf"] == {"x5t#S256": found.x5t(found.a)}


async def test_replayed_is_refused_by_one_atomic_insert(found: Sides) -> None:
    assertion = found.assertion()
    replies = [await found.redeem(assertion) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 400, 400]
    assert reason_of(replies[1]) == (400, INVALID, "assertion_spent")
    record = last(found.b)
    assert isinstance(record, RefusedRecord)
    assert (record.reason, record.action) == ("assertion_spent", "federateChain")


Changes = Callable[[Sides], Mapping[str, Any]]
FORGED: Mapping[str, tuple[Changes, str]] = {
    "another audience": (lambda sides: {"aud": sides.a.public_url}, "token_audience"),
    "two audiences": (lambda sides: {"aud": [sides.b.public_url]}, "token_audience"),
    "the token endpoint as audience": (lambda sides: {"aud": f"{sides.b.data_url}/oauth/token"}, "token_audience"),
    "another resource": (lambda sides: {"resource": f"{sides.b.data_url}/mcp/ledger"}, "token_audience"),
    "an unlisted peer": (lambda _: {"iss": "https://evil.test"}, "token_issuer"),
    "our own issuer": (lambda sides: {"iss": sides.b.public_url}, "token_issuer"),
    "an agent of our own domain": (lambda _: {"act": {"sub": ANALYST}, "client_id": ANALYST}, "chain_forged"),
    "an agent of our own domain before its own": (
        lambda _: {"act": {"sub": PLANNER, "act": {"sub": ANALYST}}, "del_depth": 2},
        "chain_forged",
    ),
    "our gateway as an agent": (lambda _: {"act": {"sub": GATEWAY_B}, "client_id": GATEWAY_B}, "chain_forged"),
    "an agent of a domain that it doesn't vouch for": (
        lambda _: {"act": {"sub": "spiffe://c.test/x"}, "client_id": "spiffe://c.test/x"},
        "chain_forged",
    ),
    "an agent that isn't registered here": (
        lambda _: {"act": {"sub": "spiffe://a.test/agent/new"}, "client_id": "spiffe://a.test/agent/new"},
        "agent_unregistered",
    ),
    "no agent": (lambda _: {"act": None, "client_id": "cli", "del_depth": 0}, "chain_forged"),
    "fewer hops than agents": (
        lambda _: {"act": {"sub": PLANNER, "act": {"sub": "spiffe://a.test/agent/auditor"}}},
        "chain_forged",
    ),
    "another current actor": (lambda _: {"client_id": "spiffe://a.test/agent/auditor"}, "chain_forged"),
    "deeper than its own maximum": (lambda _: {"del_max_depth": 0}, "chain_forged"),
    "deeper than may come in": (
        lambda _: {"act": {"sub": PLANNER, "act": {"sub": PLANNER, "act": {"sub": PLANNER}}}, "del_depth": 3},
        "depth_exceeded",
    ),
    "a user of another issuer": (lambda _: {"sub": "other|maria"}, "token_issuer"),
    "a workload as user": (lambda _: {"sub": ANALYST}, "chain_forged"),
    "longer than a minute": (lambda _: {"exp": int(time.time()) + 300}, "token_claims"),
    "expired": (lambda _: {"iat": int(time.time()) - 60, "exp": int(time.time()) - 1}, "token_expired"),
    "not yet": (lambda _: {"nbf": int(time.time()) + 90}, "token_expired"),
    "past the end of its chain": (lambda _: {"root_exp": int(time.time()) + 5}, "token_claims"),
    "without an id": (lambda _: {"jti": None}, "token_claims"),
    "bound to nothing": (lambda _: {"cnf": None}, "token_claims"),
    "bound to another certificate": (lambda sides: {"cnf": {"x5t#S256": sides.x5t(sides.b)}}, "chain_holder"),
}


@pytest.mark.parametrize("case", FORGED)
async def test_what_a_peer_may_not_say(found: Sides, case: str) -> None:
    changes, reason = FORGED[case]
    reply = await found.redeem(found.assertion(**changes(found)))
    assert reply.json()["reason"] == reason
    assert reply.json()["error"] == ("invalid_client" if reason == "agent_unregistered" else INVALID)
    assert last(found.b).reason == reason


async def test_other_keys_and_types(found: Sides) -> None:
    stranger = load_signer(generate_key_pem())
    assert reason_of(await found.redeem(found.assertion(signer=stranger))) == (400, INVALID, "token_signature")
    own = found.signer(found.b)
    assert reason_of(await found.redeem(found.assertion(signer=own))) == (400, INVALID, "token_signature")
    for typ in ("at+jwt", "JWT", "hopgate-at+jwt"):
        assert reason_of(await found.redeem(found.assertion(typ=typ))) == (400, INVALID, "token_type")
    assert await say(found, found.assertion()) == (401, "token_issuer"), "no assertion is an access token"


async def test_presented_by_another_workload(found: Sides) -> None:
    stolen = found.assertion()
    for by, of, reason in (
        ("agent/planner", found.a, "agent_unregistered"),
        ("agent/analyst", found.b, "agent_unregistered"),
        ("hopgate", found.b, "agent_unregistered"),
    ):
        reply = await found.redeem(stolen, by=by, of=of)
        assert reply.json()["reason"] == reason
    assert (await found.redeem(stolen)).status_code == 200, "no thief has spent it"


async def test_a_token_in_other_hands_or_at_another_route(found: Sides) -> None:
    token = await token_of(found)
    for by, of in (("agent/planner", found.a), ("agent/analyst", found.b)):
        status, reason = await say(found, token, by=by, of=of)
        assert status in (401, 403)
        assert reason in ("chain_holder", "token_claims", "token_audience")
    status, _ = await say(found, token, route="a2a/planner")
    assert status == 404
    async with bringing(found, token) as http:
        reply = await post(Wire(http, f"{found.b.data_url}/mcp/ledger"), call("read_balance"))
    assert refusal_of(reply)[::2] == (401, "token_audience")


async def test_what_one_gateway_redeemed_no_other_brings(found: Sides) -> None:
    other, token, stolen = third(found), await token_of(found), found.assertion()
    assert await say(found, token, of=other) == (403, "chain_holder")
    reply = await found.redeem(stolen, of=other)
    assert reason_of(reply) == (400, INVALID, "chain_holder")
    assert await say(found, token, by=RENEWED) == (403, "chain_holder"), "its own other certificate neither"
    assert reason_of(await found.redeem(stolen, by=RENEWED)) == (400, INVALID, "chain_holder")
    assert await say(found, token) == (200, "")


async def test_a_gateway_has_no_chain_of_its_own(found: Sides) -> None:
    async with httpx2.AsyncClient(verify=found.tls(found.a, "hopgate"), timeout=20) as http:
        reply = await http.post(
            f"{found.b.data_url}/a2a/analyst", json=sending("hello"), headers={"A2A-Version": "1.0"}
        )
    assert (reply.status_code, answer_of(reply)["error"]["data"]["reason"]) == (401, "token_missing")
    async with asking(found.a, "planner") as client:
        assert said(await heard(client, "hello")) == "analyst: hello"
    downstream = found.analyst.headers[-1]["authorization"].removeprefix("Bearer ")
    assert await say(found, downstream) == (403, "chain_holder"), "a hop token of an agent isn't the gateway's"


async def test_scopes_count_through_the_map_and_by_the_agents_grants(found: Sides) -> None:
    wide = "analyst/delegate ledger/read_balance ledger/pay planner/delegate admin"
    claims = jwt.decode(await token_of(found, del_scope=wide), options={"verify_signature": False})
    assert set(claims["del_scope"].split()) == {"analyst/delegate", "ledger/read_balance", "planner/delegate"}
    nothing = jwt.decode(await token_of(found, del_scope="all"), options={"verify_signature": False})
    assert nothing["del_scope"] == ""


async def test_limits_are_our_own(found: Sides) -> None:
    now, txn = int(time.time()), uuid.uuid4().hex
    far = {"root_exp": now + 10**6, "del_max_depth": 200, "txn": txn}
    first = jwt.decode(await token_of(found, **far), options={"verify_signature": False})
    assert first["root_exp"] <= now + 900 + 2
    assert first["del_max_depth"] == 8
    # Until the limit would count from another second.
    await asyncio.sleep(1.1)
    again = jwt.decode(await token_of(found, **far), options={"verify_signature": False})
    assert again["root_exp"] == first["root_exp"], "bringing a chain again doesn't make it live longer"


async def test_a_chain_s_id_stays_with_whoever_began_it(found: Sides) -> None:
    txn = uuid.uuid4().hex
    await token_of(found, txn=txn)
    spliced = await found.redeem(found.assertion(txn=txn, sub="corp|bob"))
    assert reason_of(spliced) == (400, INVALID, "chain_forged")


async def test_a_chain_that_began_here_is_none_that_a_peer_can_bring(found: Sides) -> None:
    """The id of a chain of b.test's own, which an agent of it might tell, hangs nothing into its tree."""
    async with bare(found.b, "cron", token=None) as wire:
        assert (await post(wire, call("read_balance"))).status_code == 200
    record = found.b.records()[-1].record
    assert isinstance(record, DecisionRecord)
    assert record.chain.via is None
    local = record.chain.txn
    spliced = await found.redeem(found.assertion(txn=local))
    assert reason_of(spliced) == (400, INVALID, "chain_forged")


async def test_a_store_that_can_t_be_asked_refuses(tmp_path: Path) -> None:
    pair = sides(tmp_path)
    async with everyone(pair):
        with sqlite3.connect(pair.b.directory / "hopgate.db") as connection:
            connection.execute("drop table single_use")
        reply = await pair.redeem(pair.assertion())
        assert (reply.status_code, reply.json()["reason"]) == (503, "store_unavailable")
