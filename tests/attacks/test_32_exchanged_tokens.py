"""Attack 32: tokens of the token endpoint in other hands, at other places, past their end, or widened."""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest
import pytest_asyncio

from gateway.core.audit import RefusedRecord
from gateway.core.reasons import Reason
from gateway.identity.signer import EXCHANGED_TOKEN_TYPE, Signer, load_signer
from tests.company import Company
from tests.wire.agent import Agent
from tests.wire.delegate import ask as ask_agent
from tests.wire.delegate import delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, refusal_of, through_gateway
from tests.wire.token_endpoint import ask, error_of, exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ, PAY = call("read_balance"), call("pay", amount=5, to="ACME")
CRON = "spiffe://demo.test/agent/cron"


class Stage(NamedTuple):
    company: Company
    ledger: Ledger
    analyst: Agent
    token: str
    """The analyst's, for the ledger."""
    signer: Signer
    """The gateway's own key, for tokens that only a faulty gateway could have made."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    async with delegates(company, "analyst", "planner") as [analyst, _], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        token = await exchanged(company, held)
        signer = load_signer((company.directory / "signing.pem").read_bytes())
        yield Stage(company, ledger, analyst, token, signer)


async def exchanged(company: Company, token: str, **more: str) -> str:
    reply = await ask(company, "analyst", exchange(company, token, **more))
    assert reply.status_code == 200, reply.text
    return str(reply.json()["access_token"])


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


async def refused(stage: Stage, token: str, agent: str | None = "analyst", message: Any = READ) -> tuple[int, int, str]:
    """How a call with the token is refused; nothing arrives, and it is recorded."""
    before = len(stage.ledger.headers)
    async with bare(stage.company, agent, token=token) as wire:
        reply = await post(wire, message)
    assert len(stage.ledger.headers) == before
    assert isinstance(stage.company.records()[-1].record, RefusedRecord)
    return refusal_of(reply)


async def test_the_genuine_token_is_good(stage: Stage) -> None:
    async with bare(stage.company, "analyst", token=stage.token) as wire:
        assert (await post(wire, READ)).status_code == 200


@pytest.mark.parametrize("thief", ["planner", "auditor", "cron", "outsider"])
async def test_in_another_agents_hands(stage: Stage, thief: str) -> None:
    """Neither presented nor renewed, not even by the agent that delegated to its holder."""
    assert await refused(stage, stage.token, thief) == (403, 1403, "chain_holder")
    renewal = await ask(stage.company, thief, exchange(stage.company, stage.token))
    assert error_of(renewal) == (400, "invalid_request", "chain_holder")


async def test_without_a_certificate(stage: Stage) -> None:
    assert await refused(stage, stage.token, None) == (403, 1403, "chain_holder")


async def test_at_another_route(stage: Stage) -> None:
    reply = await ask_agent(stage.company, "analyst", "planner", stage.token)
    assert (reply.status_code, reply.json()["error"]["data"]["reason"]) == (401, "token_audience")
    renewal = await ask(stage.company, "analyst", exchange(stage.company, stage.token, "a2a/planner"))
    assert error_of(renewal) == (400, "invalid_target", "target_unknown")


async def test_the_callee_cannot_use_a_token_of_its_caller(stage: Stage) -> None:
    """A token for /a2a/planner has the audience of the planner's downstream tokens; it is of another type."""
    held = await delegated(stage.company, stage.analyst)
    for_planner = await exchanged(stage.company, held, target="a2a/planner")
    assert await refused(stage, for_planner, "planner") == (403, 1403, "chain_holder")


async def test_a_scope_that_was_given_up(stage: Stage) -> None:
    narrow = await exchanged(stage.company, stage.token, scope="ledger/list_entries")
    for wanted in ("ledger/read_balance", "ledger/list_entries ledger/pay", "ledger/*", "*", "ledger/LIST_ENTRIES"):
        reply = await ask(stage.company, "analyst", exchange(stage.company, narrow, scope=wanted))
        assert error_of(reply) == (400, "invalid_scope", "scope_ceiling")
    async with bare(stage.company, "analyst", token=narrow) as wire:
        assert refusal_of(await post(wire, READ)) == (403, 1403, "scope_ceiling")


FORGED: Mapping[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str, str]] = {
    "as a downstream token": (lambda held: {}, "at+jwt", "chain_holder"),
    "as a token of another type": (lambda held: {}, "JWT", "token_type"),
    "without actors": (
        lambda held: {"act": None, "del_depth": 0, "client_id": "cli"},
        EXCHANGED_TOKEN_TYPE,
        "chain_forged",
    ),
    "with a shorter chain": (
        lambda held: {"act": {"sub": held["client_id"]}},
        EXCHANGED_TOKEN_TYPE,
        "chain_forged",
    ),
    "of another client": (lambda held: {"client_id": CRON}, EXCHANGED_TOKEN_TYPE, "chain_forged"),
    "without a binding": (lambda held: {"cnf": None}, EXCHANGED_TOKEN_TYPE, "token_claims"),
    "with another binding": (lambda held: {"cnf": {"jkt": "x"}}, EXCHANGED_TOKEN_TYPE, "token_claims"),
    "bound to another certificate": (
        lambda held: {"cnf": {"x5t#S256": "x" * 43}},
        EXCHANGED_TOKEN_TYPE,
        "token_claims",
    ),
    "expired": (
        lambda held: {"exp": int(time.time()) - 1, "iat": int(time.time()) - 60},
        EXCHANGED_TOKEN_TYPE,
        "token_expired",
    ),
    "of a chain that is over": (
        lambda held: {"iat": int(time.time()) - 60, "exp": int(time.time()) - 30, "root_exp": int(time.time()) - 1},
        EXCHANGED_TOKEN_TYPE,
        "chain_expired",
    ),
    "that outlives its chain": (lambda held: {"exp": held["root_exp"] + 1}, EXCHANGED_TOKEN_TYPE, "chain_forged"),
}


@pytest.mark.parametrize("case", FORGED)
async def test_a_token_that_contradicts_itself_under_a_good_signature(stage: Stage, case: str) -> None:
    change, kind, reason = FORGED[case]
    held = claims_of(stage.token)
    changed = {name: value for name, value in {**held, **change(held)}.items() if value is not None}
    status = Reason(reason).status
    assert await refused(stage, stage.signer.sign(changed, kind)) == (status, 1000 + status, reason)


async def test_edited(stage: Stage) -> None:
    header, payload, signature = stage.token.split(".")
    other = (await exchanged(stage.company, stage.token)).split(".")
    for parts in ((header, other[1], signature), (other[0], payload, other[2])):
        assert await refused(stage, ".".join(parts)) == (401, 1401, "token_signature")
        reply = await ask(stage.company, "analyst", exchange(stage.company, ".".join(parts)))
        assert error_of(reply) == (400, "invalid_request", "token_signature")


async def test_past_the_end_of_the_chain_after_renewals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewing goes on while the chain does: past a token's own end, and never past the chain's."""
    company, ledger, now, ahead = Company(tmp_path), Ledger(), time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: now() + ahead[-1])
    company.settings["limits"] = {"root_ttl_seconds": 60, "access_ttl_seconds": 5, "exchange_ttl_seconds": 20}
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        token = await exchanged(company, held)
        ends = claims_of(held)["root_exp"]
        for seconds in (15, 40, 55):
            ahead.append(seconds)
            token = await exchanged(company, token)
            assert claims_of(token)["root_exp"] == ends
            assert claims_of(token)["exp"] <= min(ends, time.time() + 21)
            async with bare(company, "analyst", token=token) as wire:
                assert (await post(wire, READ)).status_code == 200
        ahead.append(61)
        async with bare(company, "analyst", token=token) as wire:
            assert refusal_of(await post(wire, READ)) == (401, 1401, "chain_expired")
        for over in (token, held):
            reply = await ask(company, "analyst", exchange(company, over))
            assert error_of(reply) == (400, "invalid_request", "chain_expired")


@pytest.mark.parametrize("off", ["route", "agent"])
async def test_switched_off(tmp_path: Path, off: str) -> None:
    """Tokens are neither issued nor taken, also those that were issued before."""
    company, ledger = Company(tmp_path), Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        token = await exchanged(company, held)
    if off == "route":
        company.settings["routes"]["mcp"]["ledger"]["continuation"] = ["header", "trace"]
    else:
        company.registry["agents"]["analyst"]["continuation"] = ["header", "trace"]
    async with delegates(company, "analyst"), through_gateway(company, ledger):
        for subject in (held, token):
            reply = await ask(company, "analyst", exchange(company, subject))
            expected = (
                ("invalid_target", "target_unknown")
                if off == "route"
                else ("unauthorized_client", "continuation_refused")
            )
            assert error_of(reply) == (400, *expected)
        async with bare(company, "analyst", token=token) as wire:
            presented = refusal_of(await post(wire, READ))
        assert presented == ((401, 1401, "token_audience") if off == "route" else (403, 1403, "continuation_refused"))
        async with bare(company, "analyst", token=held) as wire:
            assert (await post(wire, READ)).status_code == 200, "by header still"


async def test_header_copy_switched_off(tmp_path: Path) -> None:
    company, ledger = Company(tmp_path), Ledger()
    company.registry["agents"]["analyst"]["continuation"] = ["exchange"]
    company.settings["routes"]["mcp"]["ledger"]["continuation"] = ["exchange"]
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        async with bare(company, "analyst", token=held) as wire:
            assert refusal_of(await post(wire, READ)) == (401, 1401, "token_audience")
        async with bare(company, "analyst", token=await exchanged(company, held)) as wire:
            assert (await post(wire, READ)).status_code == 200
            assert json.loads(ledger.bodies[-1])["method"] == "tools/call"
