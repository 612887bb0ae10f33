"""RFC 8693 exchange over the wire: continue, narrow, renew, and what the tokens are good for; with bare HTTP."""

import base64
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import jwt
import pytest
import pytest_asyncio

from gateway.core.audit import DecisionRecord, RefusedRecord, forest
from gateway.store.query import AuditReader
from tests.company import DOMAIN, Company
from tests.wire.agent import Agent
from tests.wire.delegate import ask as ask_agent
from tests.wire.delegate import delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare, call, post, refusal_of, through_gateway
from tests.wire.token_endpoint import ACCESS_TOKEN, ask, error_of, exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ, PAY, LIST = call("read_balance"), call("pay", amount=5, to="ACME"), call("list_entries")
PLANNER, ANALYST, AUDITOR = (f"spiffe://{DOMAIN}/agent/{name}" for name in ("planner", "analyst", "auditor"))


class Stage(NamedTuple):
    company: Company
    ledger: Ledger
    held: str
    """The hop token that the analyst holds: planner's delegation for Maria."""
    planner: Agent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    async with delegates(company, "analyst", "planner") as [analyst, planner], through_gateway(company, ledger):
        yield Stage(company, ledger, await delegated(company, analyst), planner)


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def digest(token: str) -> str:
    return hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


def thumbprint(company: Company, agent: str) -> str:
    pem = company.svid(f"agent/{agent}").certificate.read_text()
    der = base64.b64decode(pem.split("-----")[2])
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


async def exchanged(stage: Stage, token: str = "", agent: str = "analyst", **more: str) -> str:
    """The token that ``agent`` gets for ``token``, by default for the one that the analyst received."""
    reply = await ask(stage.company, agent, exchange(stage.company, token or stage.held, **more))
    assert reply.status_code == 200, reply.text
    return str(reply.json()["access_token"])


async def presented(
    stage: Stage, token: str, message: Any = READ, agent: str = "analyst"
) -> tuple[int, int, str] | int:
    """The status of a call with ``token``, or how it is refused."""
    async with bare(stage.company, agent, token=token) as wire:
        reply = await post(wire, message)
    return 200 if reply.status_code == 200 else refusal_of(reply)


async def test_an_agent_continues_its_chain(stage: Stage) -> None:
    company, began = stage.company, int(time.time())
    form = exchange(company, stage.held, client_id=ANALYST, requested_token_type=ACCESS_TOKEN)
    reply = await ask(company, "analyst", form)
    assert reply.headers["cache-control"] == "no-store"
    answer = reply.json()
    token = answer.pop("access_token")
    scope = "ledger/count ledger/list_entries ledger/pay ledger/read_balance ledger/slow"
    assert answer == {
        "token_type": "Bearer",
        "issued_token_type": ACCESS_TOKEN,
        "expires_in": 300,
        "scope": scope,
    }
    held, claims = claims_of(stage.held), claims_of(token)
    assert jwt.get_unverified_header(token)["typ"] == "hopgate-at+jwt", "no upstream takes it for its own"
    assert began <= claims["iat"] <= time.time()
    assert claims == {
        "iss": company.public_url,
        "sub": "corp|maria",
        "aud": f"{company.data_url}/mcp/ledger",
        "client_id": ANALYST,
        "scope": scope,
        "del_scope": scope,
        "iat": claims["iat"],
        "nbf": claims["iat"],
        "exp": claims["iat"] + 300,
        "jti": claims["jti"],
        "txn": held["txn"],
        "act": {"sub": ANALYST, "act": {"sub": PLANNER}},
        "cnf": {"x5t#S256": thumbprint(company, "analyst")},
        "del_depth": 2,
        "del_max_depth": 8,
        "par_hash": digest(stage.held),
        "root_exp": held["root_exp"],
        "email": "maria@demo.test",
        "roles": ["cfo"],
        "groups": ["finance"],
    }


async def test_the_token_is_used_without_growing_the_chain_again(stage: Stage) -> None:
    token = await exchanged(stage)
    assert await presented(stage, token) == 200
    arrived = claims_of(stage.ledger.headers[-1]["authorization"].removeprefix("Bearer "))
    assert arrived["act"] == {"sub": ANALYST, "act": {"sub": PLANNER}}
    assert (arrived["del_depth"], arrived["par_hash"], arrived["scope"]) == (2, digest(token), "ledger/read_balance")
    record = stage.company.records()[-1].record
    assert isinstance(record, DecisionRecord)
    assert (record.chain.depth, record.chain.way, record.chain.reentry) == (2, "exchange", False)
    assert record.user == "corp|maria"


async def test_the_exchange_is_recorded_and_joins_the_chain(stage: Stage) -> None:
    token = await exchanged(stage)
    renewed = await exchanged(stage, token)
    assert await presented(stage, renewed) == 200
    records = AuditReader(stage.company.store_url).chain(claims_of(token)["txn"])
    made = next(r for r in records if isinstance(r, DecisionRecord) and r.minted and r.minted.digest == digest(token))
    assert (made.action, made.protocol, made.method, made.verdict) == ("exchangeToken", "oauth", "continue", "permit")
    assert (made.resource.type, made.resource.id, made.policies) == ("McpServer", "ledger", ())
    assert (made.chain.parent, made.chain.actors) == (digest(stage.held), (PLANNER, ANALYST))
    assert made.agent is not None
    assert made.agent.name == "analyst"
    assert made.minted is not None
    assert made.minted.jti == claims_of(token)["jti"]

    def below(nodes: Any, depth: int = 0) -> list[tuple[int, str]]:
        return [each for n in nodes for each in ((depth, n.record.action or ""), *below(n.children, depth + 1))]

    ours = {digest(stage.held), digest(token), digest(renewed)}
    chain = [
        r for r in records if isinstance(r, DecisionRecord) and ({r.chain.parent, r.minted and r.minted.digest} & ours)
    ]
    assert (2, "exchangeToken") in below(forest(chain))
    assert below(forest(chain))[-1] == (3, "invokeTool")


async def test_narrowing_keeps_the_chain(stage: Stage) -> None:
    first = await exchanged(stage)
    narrow = await exchanged(stage, first, scope="ledger/read_balance")
    before, after = claims_of(first), claims_of(narrow)
    assert after["scope"] == after["del_scope"] == "ledger/read_balance"
    assert after["par_hash"] == digest(first)
    constant = ("sub", "txn", "root_exp", "act", "del_depth", "del_max_depth", "aud", "client_id", "cnf")
    assert {name: before[name] for name in constant} == {name: after[name] for name in constant}
    assert await presented(stage, narrow) == 200
    assert await presented(stage, narrow, PAY) == (403, 1403, "scope_ceiling")
    widened = await ask(
        stage.company, "analyst", exchange(stage.company, narrow, scope="ledger/read_balance ledger/pay")
    )
    assert error_of(widened) == (400, "invalid_scope", "scope_ceiling")
    assert claims_of(await exchanged(stage, narrow))["scope"] == "ledger/read_balance"


async def test_a_token_for_a_delegate_carries_what_the_delegate_may_go_on_with(stage: Stage) -> None:
    token = await exchanged(stage, resource=f"{stage.company.data_url}/a2a/planner")
    assert {"planner/delegate", "ledger/pay"} <= set(claims_of(token)["scope"].split())
    reply = await ask_agent(stage.company, "analyst", "planner", token)
    assert reply.status_code == 200, reply.text
    arrived = stage.planner.tokens[-1]
    assert arrived["act"] == {"sub": ANALYST, "act": {"sub": PLANNER}}
    assert arrived["aud"] == claims_of(token)["aud"], "which is why the two are of different types"


async def test_an_svid_that_was_renewed(stage: Stage) -> None:
    """A token is bound to one certificate; the new one of the same workload renews it."""
    company = stage.company
    token = await exchanged(stage)
    old = thumbprint(company, "analyst")
    for file in (company.directory / "svids").glob("agent-analyst*"):
        file.unlink()
    assert thumbprint(company, "analyst") != old
    assert await presented(stage, token) == (401, 1401, "token_claims")
    renewed = await exchanged(stage, token)
    assert claims_of(renewed)["cnf"] == {"x5t#S256": thumbprint(company, "analyst")}
    assert await presented(stage, renewed) == 200


REFUSED: Mapping[str, tuple[dict[str, str | None], tuple[int, str, str]]] = {
    "no resource": ({"resource": None}, (400, "invalid_request", "token_request_invalid")),
    "a resource elsewhere": ({"resource": "https://elsewhere.test"}, (400, "invalid_target", "target_unknown")),
    "a route that isn't": ({"target": "mcp/none"}, (400, "invalid_target", "target_unknown")),
    "a path below a route": ({"target": "mcp/ledger/x"}, (400, "invalid_target", "target_unknown")),
    "an audience": ({"audience": "ledger"}, (400, "invalid_request", "token_request_invalid")),
    "an actor token": ({"actor_token": "x"}, (400, "invalid_request", "token_request_invalid")),
    "no token": ({"subject_token": None}, (400, "invalid_request", "token_request_invalid")),
    "no token type": ({"subject_token_type": None}, (400, "invalid_request", "token_request_invalid")),
    "an ID token": (
        {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        (400, "invalid_request", "token_request_invalid"),
    ),
    "a refresh token asked for": (
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        (400, "invalid_request", "token_request_invalid"),
    ),
    "no token of anybody": ({"subject_token": "x.y.z"}, (400, "invalid_request", "token_malformed")),
    "an unknown scope": ({"scope": "ledger/burn"}, (400, "invalid_scope", "scope_ceiling")),
    "a scope of another resource": ({"scope": "planner/delegate"}, (400, "invalid_scope", "scope_ceiling")),
    "no list of scopes": ({"scope": "a  b"}, (400, "invalid_scope", "scope_malformed")),
    "a quoted scope": ({"scope": '"all"'}, (400, "invalid_scope", "scope_malformed")),
    "another client": ({"client_id": PLANNER}, (401, "invalid_client", "client_mismatch")),
    "a client secret": ({"client_secret": "x"}, (400, "invalid_request", "token_request_invalid")),
    "a client assertion": ({"client_assertion": "x"}, (400, "invalid_request", "token_request_invalid")),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_requests_that_are_refused(stage: Stage, case: str) -> None:
    change, expected = REFUSED[case]
    reply = await ask(stage.company, "analyst", exchange(stage.company, stage.held, **change))
    assert error_of(reply) == expected
    record = stage.company.records()[-1].record
    assert isinstance(record, RefusedRecord)
    assert (record.id, record.action) == (reply.json()["decision_id"], "exchangeToken")
    assert stage.held not in reply.text


async def test_a_users_token_is_not_exchanged(stage: Stage) -> None:
    root = stage.company.token(f"{stage.company.data_url}/mcp/ledger")
    reply = await ask(stage.company, "planner", exchange(stage.company, root))
    assert error_of(reply) == (400, "invalid_request", "token_issuer")
    assert "presented at the route" in reply.json()["error_description"]


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("planner", (400, "invalid_request", "chain_holder")),
        ("retired", (400, "unauthorized_client", "agent_suspended")),
        ("nobody", (401, "invalid_client", "agent_unregistered")),
    ],
)
async def test_of_another_agents_token_nothing_is_made(
    stage: Stage, agent: str, expected: tuple[int, str, str]
) -> None:
    assert error_of(await ask(stage.company, agent, exchange(stage.company, stage.held))) == expected
