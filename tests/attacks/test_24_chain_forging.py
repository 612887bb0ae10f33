"""Attack 24: hop tokens that are forged, edited, spliced, widened, or in the wrong hands."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core.audit import DecisionRecord, RefusedRecord
from gateway.core.reasons import Reason
from gateway.identity.signer import Signer, load_signer
from tests.company import Company
from tests.wire.delegate import ask, delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, record_of, refusal_of, through_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ = call("read_balance")
PLANNER, ANALYST, CRON = (f"spiffe://demo.test/agent/{name}" for name in ("planner", "analyst", "cron"))
STRANGER = ec.generate_private_key(ec.SECP256R1())


class Stage(NamedTuple):
    company: Company
    ledger: Ledger
    held: str
    """The hop token that the analyst holds: planner's delegation for Maria."""
    signer: Signer
    """The gateway's own key, for tokens that only a faulty gateway could have made."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    async with delegates(company, "analyst", "planner") as [analyst, _], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        yield Stage(company, ledger, held, load_signer((company.directory / "signing.pem").read_bytes()))


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


async def refused(stage: Stage, token: str, reason: Reason, *, agent: str | None = "analyst") -> RefusedRecord:
    """``agent`` presents ``token`` at the ledger and is refused; nothing arrives there."""
    before = len(stage.ledger.headers)
    async with bare(stage.company, agent, token=token) as wire:
        reply = await post(wire, READ)
    assert refusal_of(reply) == (reason.status, 1000 + reason.status, reason)
    assert len(stage.ledger.headers) == before
    record = record_of(stage.company, reply).record
    assert isinstance(record, RefusedRecord)
    assert record.reason == reason
    return record


async def test_the_genuine_token_is_good(stage: Stage) -> None:
    async with bare(stage.company, "analyst", token=stage.held) as wire:
        assert (await post(wire, READ)).status_code == 200


@pytest.mark.parametrize("kid", ["the gateway's", "its own", "none"])
async def test_signed_by_another_key(stage: Stage, kid: str) -> None:
    kids = {"the gateway's": jwt.get_unverified_header(stage.held)["kid"], "its own": "stranger", "none": None}
    header = {"typ": "at+jwt", "kid": kids[kid]} if kids[kid] else {"typ": "at+jwt"}
    forged = jwt.encode(claims_of(stage.held), STRANGER, "ES256", headers=header)
    await refused(stage, forged, Reason.TOKEN_SIGNATURE)


async def test_signed_by_an_issuer_of_user_tokens(stage: Stage) -> None:
    forged = jwt.encode(claims_of(stage.held), stage.company.key, "ES256", headers={"typ": "at+jwt", "kid": "maria-1"})
    await refused(stage, forged, Reason.TOKEN_SIGNATURE)


EDITS: Mapping[str, Mapping[str, Any]] = {
    "another user": {"sub": "corp|pablo"},
    "no depth": {"del_depth": 0},
    "a higher limit": {"del_max_depth": 99},
    "no actors": {"act": None, "del_depth": 0},
    "other actors": {"act": {"sub": CRON}, "client_id": CRON},
    "more scope": {"scope": "ledger/pay", "del_scope": "ledger/pay ledger/read_balance"},
    "a longer life": {"exp": 4_000_000_000, "root_exp": 4_000_000_000},
    "another chain": {"txn": "t-2", "par_hash": "00" * 32},
    "another audience": {"aud": "https://elsewhere.test"},
    "other roles": {"roles": ["admin"], "groups": ["admins"]},
}


@pytest.mark.parametrize("edit", EDITS)
async def test_edited_claims(stage: Stage, edit: str) -> None:
    header, _, signature = stage.held.split(".")
    edited = {**claims_of(stage.held), **EDITS[edit]}
    await refused(stage, f"{header}.{part(edited)}.{signature}", Reason.TOKEN_SIGNATURE)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_another_algorithm(stage: Stage, algorithm: str) -> None:
    header = {**jwt.get_unverified_header(stage.held), "alg": algorithm}
    _, payload, signature = stage.held.split(".")
    await refused(stage, f"{part(header)}.{payload}.{signature}", Reason.TOKEN_SIGNATURE)


async def test_the_claims_of_one_token_and_the_signature_of_another(stage: Stage) -> None:
    async with bare(stage.company) as wire:
        assert (await post(wire, READ)).status_code == 200
    other = stage.ledger.headers[-1]["authorization"].removeprefix("Bearer ")
    head, _, signature = other.rpartition(".")
    await refused(stage, f"{stage.held.rpartition('.')[0]}.{signature}", Reason.TOKEN_SIGNATURE)
    await refused(stage, f"{head}.{stage.held.rpartition('.')[2]}", Reason.TOKEN_SIGNATURE)


CONTRADICTIONS: Mapping[str, tuple[Callable[[dict[str, Any]], Mapping[str, Any]], Reason]] = {
    "an actor cut out": (lambda held: {"act": held["act"], "del_depth": 2}, Reason.CHAIN_FORGED),
    "an actor put in": (lambda held: {"act": {"sub": ANALYST, "act": held["act"]}}, Reason.CHAIN_FORGED),
    "all actors gone": (lambda held: {"act": None, "del_depth": 0}, Reason.CHAIN_FORGED),
    "depth over its limit": (lambda held: {"del_max_depth": 0}, Reason.CHAIN_FORGED),
    "another current actor": (lambda held: {"client_id": CRON}, Reason.CHAIN_FORGED),
    "an actor that is no workload": (lambda held: {"act": {"sub": "maria"}}, Reason.CHAIN_FORGED),
    "an actor with attributes": (lambda held: {"act": {**held["act"], "iss": "x"}}, Reason.CHAIN_FORGED),
    "a subject that began another chain": (lambda held: {"sub": CRON}, Reason.CHAIN_FORGED),
    "times out of order": (lambda held: {"exp": held["root_exp"] + 1}, Reason.CHAIN_FORGED),
    "a chain that is over": (lambda held: {"exp": held["iat"], "root_exp": int(time.time())}, Reason.CHAIN_EXPIRED),
    "a chain to come": (lambda held: {"nbf": held["root_exp"]}, Reason.TOKEN_EXPIRED),
    "depth that is text": (lambda held: {"del_depth": "1"}, Reason.TOKEN_CLAIMS),
    "depth below nothing": (lambda held: {"del_depth": -1}, Reason.TOKEN_CLAIMS),
    "no certificate binding": (lambda held: {"cnf": None}, Reason.TOKEN_CLAIMS),
    "a user of no issuer": (lambda held: {"sub": "other|maria"}, Reason.TOKEN_ISSUER),
    "an agent nobody registered": (
        lambda held: {"act": {"sub": "spiffe://demo.test/agent/ghost"}, "client_id": "spiffe://demo.test/agent/ghost"},
        Reason.AGENT_UNREGISTERED,
    ),
    "an agent that was suspended": (
        lambda held: {
            "act": {"sub": "spiffe://demo.test/agent/retired"},
            "client_id": "spiffe://demo.test/agent/retired",
        },
        Reason.AGENT_SUSPENDED,
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
async def test_a_chain_that_contradicts_itself_under_a_good_signature(stage: Stage, case: str) -> None:
    change, reason = CONTRADICTIONS[case]
    held = claims_of(stage.held)
    changed = {name: value for name, value in {**held, **change(held)}.items() if value is not None}
    await refused(stage, stage.signer.sign(changed), reason)


async def test_a_good_signature_of_another_type(stage: Stage) -> None:
    payload = json.dumps(claims_of(stage.held)).encode()
    for kind in ("JWT", "JOSE", "at+jwt+x"):
        await refused(stage, stage.signer.sign_bytes(payload, {"typ": kind}), Reason.TOKEN_TYPE)


@pytest.mark.parametrize("thief", ["planner", "auditor", "cron", "outsider"])
async def test_in_another_agents_hands(stage: Stage, thief: str) -> None:
    record = await refused(stage, stage.held, Reason.CHAIN_HOLDER, agent=thief)
    assert record.agent is not None
    assert (record.agent.name, record.user, record.txn) == (thief, "corp|maria", claims_of(stage.held)["txn"])


async def test_without_a_certificate(stage: Stage) -> None:
    record = await refused(stage, stage.held, Reason.CHAIN_HOLDER, agent=None)
    assert record.agent is None
    reply = await ask(stage.company, None, "planner", stage.held)
    assert (reply.status_code, reply.json()["error"]["data"]["reason"]) == (403, Reason.CHAIN_HOLDER)


async def test_a_user_token_cannot_claim_a_chain(stage: Stage) -> None:
    """Actors and depth in an issuer's token change nothing: the chain begins at the entry agent."""
    spliced = stage.company.token(
        f"{stage.company.data_url}/mcp/ledger",
        act={"sub": CRON},
        del_depth=0,
        del_scope="ledger/pay",
        txn="t-2",
        client_id=ANALYST,
        del_max_depth=99,
        scope="read",
    )
    async with bare(stage.company, token=spliced) as wire:
        assert (await post(wire, READ)).status_code == 200
    record = stage.company.records()[-1].record
    assert isinstance(record, DecisionRecord)
    assert (record.chain.actors, record.chain.depth, record.chain.max_depth) == ((PLANNER,), 1, 8)
    assert record.chain.ceiling == ("ledger/read_balance",)
    assert record.chain.txn != "t-2"


async def test_a_scope_is_never_widened_on_the_way(stage: Stage) -> None:
    """``del_scope`` of the presented token bounds the next one, whatever the holder was granted itself."""
    narrow = stage.signer.sign({**claims_of(stage.held), "del_scope": "ledger/list_entries"})
    async with bare(stage.company, "analyst", token=narrow) as wire:
        reply = await post(wire, READ)
    assert refusal_of(reply) == (403, 1403, Reason.SCOPE_CEILING)


async def test_continuation_can_be_switched_off(tmp_path: Path) -> None:
    company, ledger = Company(tmp_path), Ledger()
    company.settings["routes"]["mcp"]["ledger"]["continuation"] = ["trace", "exchange"]
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        async with bare(company, "analyst", token=held) as wire:
            reply = await post(wire, READ)
    assert refusal_of(reply) == (401, 1401, Reason.TOKEN_AUDIENCE)
    assert ledger.headers == []
