"""Attack 29: one caller's answer, list, token or connection given to another by something that was remembered.

Everything that remembers is listed here with its key; and callers with different rights, interleaved, each get
their own.
"""

import ast
import asyncio
from pathlib import Path
from typing import Any

import jwt
import pytest

import gateway
from tests.company import Company
from tests.wire import agent as a2a
from tests.wire.delegate import delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, call, modern, post, through_gateway

ROOT = Path(str(gateway.__file__)).parent
MEMORIES = ("Recent", "OrderedDict", "Memory")
REMEMBERED = {
    "identity/jose.py:parse_protected": "the protected header itself: says the same to everyone",
    "identity/jwks.py:Recent": "digest of the whole token, signature included, in the keys of one issuer",
    "identity/mint_cache.py:OrderedDict": "all that the token says; dropped with its key, and with each epoch",
    "identity/upstream_oauth.py:Recent": "the server and the whole client of its issuer; users' tokens are never in it",
    "identity/resource_metadata.py:Recent": "the upstream's URL and the whole client: says only that they agree",
    "store/bindings.py:Recent": "digest of the whole root token",
    "store/live_chains.py:Recent": "user, agent and chain: only what this process has stored itself",
    "store/handles.py:Recent": "digest of a handle; what is found opens for one SPIFFE ID only",
    "core/tally.py:OrderedDict": "one agent, user, team, tool or pair of them: numbers only; those without room share",
    "core/policy/entities.py:Recent": "the exact text of all entities of the question",
    "core/policy/bundle.py:Memory": (
        "digest of the slice's policies, principal, action, resource and every value that the policies read; the "
        "decision's hop, generation and bundle are the call's own"
    ),
    "core/policy/bundle.py:Recent": "the entity, of one registry: whose ancestors; never what a token brings",
    "core/policy/slices.py:Recent": "action, principal and resource of one bundle: which policies; no answer",
    "core/policy/schemas.py:Recent": "the tool: what its arguments look like",
    "core/policy/keeping.py:Recent": "the registration that it is the text of; no answer",
    "core/policy/replay.py:Recent": "digests of all that a recorded decision was made from; serves no traffic",
    "proxy/kept.py:Recent": "digest of a text: that it is written; no answer",
    "protocols/jsonrpc.py:_decoder": "the limit of digits: no caller's",
}
"""Where → what it is keyed by. Registrations, time and the answer itself are never behind a key."""


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    for name in ("auditor", "outsider"):
        found.registry["agents"][name] |= {"entry_point": True, "clients": ["cli"]}
    return found


def memories(root: Path) -> set[str]:
    """Functions that are cached, and files that make a bounded memory."""
    found = set()
    for path in root.rglob("*.py"):
        where = str(path.relative_to(root))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                decorators = " ".join(ast.unparse(each) for each in node.decorator_list)
                found |= {f"{where}:{node.name}"} if "cache" in decorators else set()
            elif isinstance(node, ast.Call) and (made := ast.unparse(node.func).partition("[")[0]) in MEMORIES:
                found.add(f"{where}:{made}")
    return found


def test_everything_that_remembers_is_listed() -> None:
    assert memories(ROOT) == set(REMEMBERED)


async def listed(company: Company, agent: str, token: str | None = "") -> tuple[set[str], dict[str, Any]]:
    async with bare(company, agent, token=token) as wire:
        reply = await post(wire, modern("tools/list"))
    answer = answer_of(reply)
    assert "no-store" in reply.headers["cache-control"] or "no-cache" in reply.headers["cache-control"]
    if "error" in answer:
        return set(), {}
    return {tool["name"] for tool in answer["result"]["tools"]}, answer["result"]


async def test_lists_of_different_callers_stay_apart(company: Company) -> None:
    """Low risk may read; medium risk may only pay; a user without the scope, or another team, sees nothing."""
    ledger = Ledger()
    async with through_gateway(company, ledger):
        alone = {name: (await listed(company, name))[0] for name in ("planner", "auditor", "outsider")}
        names = list(alone) * 5
        together = await asyncio.gather(*(listed(company, name) for name in names))
    assert "read_balance" in alone["planner"]
    assert alone["auditor"] == {"pay"}
    assert alone["outsider"] == set()
    assert [found for found, _ in together] == [alone[name] for name in names]
    assert all(answer.get("cacheScope", "private") == "private" for _, answer in together)


async def test_calls_of_different_callers_stay_apart(company: Company) -> None:
    ledger, message = Ledger(), call("read_balance")
    async with through_gateway(company, ledger):

        async def status(agent: str, sub: str) -> tuple[int, str]:
            token = company.token(f"{company.data_url}/mcp/ledger", sub=sub)
            async with bare(company, agent, token=token) as wire:
                return (await post(wire, message)).status_code, sub

        callers = [("planner", "maria"), ("auditor", "maria"), ("planner", "pablo"), ("outsider", "pablo")] * 5
        statuses = await asyncio.gather(*(status(*caller) for caller in callers))
    assert [code for code, _ in statuses] == [200 if agent == "planner" else 403 for agent, _ in callers]
    # The token that arrived is each time the one of the chain that was decided.
    bearers = [headers["authorization"].removeprefix("Bearer ") for headers in ledger.headers]
    claims = [jwt.decode(bearer, options={"verify_signature": False}) for bearer in bearers]
    assert sorted(each["sub"] for each in claims) == ["corp|maria"] * 5 + ["corp|pablo"] * 5
    assert len({each["jti"] for each in claims}) == len({each["txn"] for each in claims}) == 10


async def test_a_reused_client_connection_remembers_no_user(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company, token=None) as wire:
        for sub in ("maria", "pablo", "maria"):
            token = company.token(wire.url, sub=sub)
            assert (await post(wire, call("read_balance"), {"Authorization": f"Bearer {token}"})).status_code == 200
            record = company.records()[-1].record
            assert record.user == f"corp|{sub}"
        await post(wire, call("read_balance"))
        assert company.records()[-1].record.user is None


async def test_a_card_is_private_and_decided_each_time(company: Company) -> None:
    """The auditor may know the card's tag from elsewhere; it is refused all the same."""
    company.policies["guardrails/outsider.cedar"] = """
@id("outsider-asks-nobody")
forbid (principal == Agent::"outsider", action in [Action::"delegate", Action::"discover"], resource);
"""
    async with delegates(company, "analyst"), through_gateway(company, Ledger()):
        async with a2a.bare(company) as planner:
            known = await planner.card()
        async with a2a.bare(company, "outsider") as outsider:
            refused = await outsider.card(**{"If-None-Match": known.headers["etag"]})
    assert known.status_code == 200
    assert known.headers["cache-control"].startswith("private")
    assert refused.status_code == 403
    assert "etag" not in refused.headers
