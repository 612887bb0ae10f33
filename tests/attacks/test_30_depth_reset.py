"""Attack 30: an agent deep in a chain that tries to look like the first, by the user's token, by none, by a claim."""

from pathlib import Path

import pytest
from jwt.utils import base64url_decode, base64url_encode

from gateway.core.audit import DecisionRecord
from gateway.core.reasons import Reason
from tests.company import Company
from tests.gateways import asgi, running
from tests.wire.delegate import ask, delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Wire, bare, call, post, record_of, refusal_of, through_gateway

READ = call("read_balance")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def company(tmp_path: Path) -> Company:
    """Only entry agents' own calls are shallow enough to read."""
    found = Company(tmp_path)
    found.policies["platform/shallow.cedar"] = """
@id("shallow")
forbid (principal, action == Action::"invokeTool", resource) when { context.delegation_depth > 1 };
"""
    return found


def bound_both(company: Company) -> Company:
    """The analyst could begin chains too."""
    company.registry["agents"]["analyst"] |= {"entry_point": True, "clients": ["cli"]}
    return company


async def test_an_honest_delegate_is_too_deep(company: Company) -> None:
    ledger = Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        async with bare(company) as wire:
            assert (await post(wire, READ)).status_code == 200
        async with bare(company, "analyst", token=held) as wire:
            reply = await post(wire, READ)
    assert refusal_of(reply) == (403, 1403, Reason.FORBIDDEN)
    assert len(ledger.headers) == 1


async def test_a_delegate_with_the_users_token(company: Company) -> None:
    ledger, root = Ledger(), company.token(f"{company.data_url}/mcp/ledger")
    async with through_gateway(company, ledger):
        async with bare(company, "analyst", token=root) as wire:
            reply = await post(wire, READ)
        record = record_of(company, reply).record
        async with bare(company, token=root) as wire:
            assert (await post(wire, READ)).status_code == 200, "the attempt took nothing from the entry agent"
    assert refusal_of(reply) == (403, 1403, Reason.ENTRY_POINT_REQUIRED)
    assert (record.reason, record.user) == (Reason.ENTRY_POINT_REQUIRED, "corp|maria")
    assert record.agent is not None
    assert record.agent.name == "analyst"


async def test_an_entry_agent_of_another_client(company: Company) -> None:
    ledger = Ledger()
    async with (
        through_gateway(company, ledger),
        bare(company, token=company.token(f"{company.data_url}/mcp/ledger", azp="another-client")) as wire,
    ):
        assert refusal_of(await post(wire, READ)) == (403, 1403, Reason.ENTRY_POINT_REQUIRED)
    assert ledger.headers == []


@pytest.mark.parametrize("order", [("planner", "analyst"), ("analyst", "planner")])
async def test_the_second_presenter(company: Company, order: tuple[str, str]) -> None:
    bound_both(company)
    ledger, root = Ledger(), company.token(f"{company.data_url}/mcp/ledger")
    replies = []
    async with through_gateway(company, ledger):
        for agent in (*order, order[0]):
            async with bare(company, agent, token=root) as wire:
                replies.append(await post(wire, READ))
        record = record_of(company, replies[1]).record
    assert [reply.status_code for reply in replies] == [200, 403, 200]
    assert refusal_of(replies[1]) == (403, 1403, Reason.ROOT_TOKEN_BOUND)
    assert record.reason == Reason.ROOT_TOKEN_BOUND
    assert len(ledger.headers) == 2


async def test_the_second_presenter_after_a_restart(company: Company) -> None:
    bound_both(company)
    ledger, root = Ledger(), company.token(f"{company.data_url}/mcp/ledger")
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]):
        async with running(company), bare(company, token=root) as wire:
            assert (await post(wire, READ)).status_code == 200
        async with running(company), bare(company, "analyst", token=root) as wire:
            assert refusal_of(await post(wire, READ)) == (403, 1403, Reason.ROOT_TOKEN_BOUND)


async def test_the_second_presenter_with_another_spelling_of_the_token(company: Company) -> None:
    """An ES256 signature has a twin that verifies as well; base64 has endings that decode to the same bytes."""
    bound_both(company)
    ledger, root = Ledger(), company.token(f"{company.data_url}/mcp/ledger")
    async with through_gateway(company, ledger):
        async with bare(company, token=root) as wire:
            assert (await post(wire, READ)).status_code == 200
        async with bare(company, "analyst", token=twin(root)) as wire:
            assert refusal_of(await post(wire, READ)) == (403, 1403, Reason.ROOT_TOKEN_BOUND)
        loose = root[:-1] + ALPHABET[ALPHABET.index(root[-1]) | 1]
        for spelled in (loose, root + "=", root + "=="):
            async with bare(company, "analyst", token=spelled) as wire:
                assert refusal_of(await post(wire, READ)) == (401, 1401, Reason.TOKEN_MALFORMED), spelled[-4:]
    assert len(ledger.headers) == 1


def twin(token: str) -> str:
    """The other valid signature of the same bytes: (r, n - s)."""
    head, _, signature = token.rpartition(".")
    raw = base64url_decode(signature)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    other = r.to_bytes(32, "big") + (P256_ORDER - s).to_bytes(32, "big")
    return f"{head}.{base64url_encode(other).decode()}"


async def test_a_delegate_with_a_fresh_token_of_the_same_user_begins_no_chain(company: Company) -> None:
    ledger = Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        await delegated(company, analyst)
        async with bare(company, "analyst") as wire:
            assert refusal_of(await post(wire, READ)) == (403, 1403, Reason.ENTRY_POINT_REQUIRED)
    assert ledger.headers == []


async def test_a_delegate_that_drops_its_token(company: Company) -> None:
    """The route takes calls without a user; only entry agents may make them."""
    ledger = Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        trace = analyst.headers[-1]["traceparent"]
        async with bare(company, "analyst", token=None) as wire:
            alone = await post(wire, READ)
            with_trace = await post(wire, READ, {"traceparent": trace, "tracestate": "hopgate=x", "baggage": held[:40]})
        async with bare(company, "cron", token=None) as wire:
            assert (await post(wire, READ)).status_code == 200
    assert refusal_of(alone) == (401, 1401, Reason.TOKEN_MISSING)
    assert refusal_of(with_trace) == (403, 1403, Reason.HANDLE_UNKNOWN)
    assert len(ledger.headers) == 1


CLAIMS = {"delegation_depth": 0, "del_depth": 0, "depth": 0, "act": {"sub": "spiffe://demo.test/agent/planner"}}
HEADERS = {
    **dict.fromkeys(("X-Delegation-Depth", "Hopgate-Depth", "X-Hopgate-Depth", "Del-Depth", "X-Actor", "Depth"), "0"),
    "X-Forwarded-Client-Cert": "URI=spiffe://demo.test/agent/planner",
}


async def test_a_depth_that_is_only_claimed(company: Company) -> None:
    ledger, plain = Ledger(), call("read_balance")
    in_meta, in_params = call("read_balance"), call("read_balance")
    in_meta["params"]["_meta"] |= CLAIMS | {"hopgate/depth": 0}
    in_params["params"] |= CLAIMS
    attempts = {
        "in headers": (plain, HEADERS, ""),
        "in the query": (plain, {}, "?delegation_depth=0&del_depth=0"),
        "in arguments": (call("read_balance", **CLAIMS), {}, ""),
        "in _meta": (in_meta, {}, ""),
        "in params": (in_params, HEADERS, "?depth=0"),
    }
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        async with bare(company, "analyst", token=held) as wire:
            for place, (message, headers, query) in attempts.items():
                reply = await post(Wire(wire.http, wire.url + query), message, headers)
                assert refusal_of(reply) == (403, 1403, Reason.FORBIDDEN), place
                record = record_of(company, reply).record
                assert isinstance(record, DecisionRecord)
                assert (record.chain.depth, record.chain.agents) == (2, ("planner", "analyst")), place
                assert [policy.id for policy in record.policies] == ["shallow"]
    assert ledger.headers == []


async def test_a_chain_ends_at_its_greatest_depth(company: Company) -> None:
    company.settings["limits"] = {"max_depth": 1}
    ledger = Ledger()
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst)
        async with bare(company, "analyst", token=held) as wire:
            assert refusal_of(await post(wire, READ)) == (403, 1403, Reason.DEPTH_EXCEEDED)
        assert (await ask(company, "analyst", "planner", held)).json()["error"]["data"]["reason"] == "depth_exceeded"
    assert ledger.headers == []
