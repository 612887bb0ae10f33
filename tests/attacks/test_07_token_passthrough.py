"""Attack 7: getting the gateway to hand on a token that it was given, or to take one meant for an upstream."""

from pathlib import Path

import jwt
import pytest

from gateway.core.reasons import Reason
from tests.company import Company
from tests.gateways import mcp_client
from tests.wire.delegate import ask, delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Wire, bare, call, post, refusal_of, through_gateway

READ = call("read_balance")


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


def audience(bearer: str) -> str:
    return str(jwt.decode(bearer.removeprefix("Bearer "), options={"verify_signature": False})["aud"])


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_users_token_never_reaches_a_server(company: Company, mode: str) -> None:
    ledger, root = Ledger(), company.token(f"{company.data_url}/mcp/ledger")
    async with through_gateway(company, ledger), mcp_client(company, mode=mode, token=root) as client:
        await client.list_tools()
        await client.call_tool("read_balance", {})
    assert ledger.headers
    for headers, body in zip(ledger.headers, ledger.bodies, strict=True):
        assert root not in str(headers) + body.decode()
        claims = jwt.decode(headers["authorization"].removeprefix("Bearer "), options={"verify_signature": False})
        assert (claims["iss"], claims["aud"]) == (company.public_url, f"{company.data_url}/mcp/ledger")


async def test_neither_a_users_nor_a_delegates_token_is_handed_on(company: Company) -> None:
    ledger, root = Ledger(), company.token(f"{company.data_url}/a2a/analyst")
    async with delegates(company, "analyst") as [analyst], through_gateway(company, ledger):
        held = await delegated(company, analyst, token=root)
        async with bare(company, "analyst", token=held) as wire:
            assert (await post(wire, READ)).status_code == 200
    assert root not in str(analyst.headers)
    [arrived] = ledger.headers
    assert held not in str(arrived)
    assert audience(arrived["authorization"]) != audience(held)


async def test_a_token_for_something_else_is_not_taken(company: Company) -> None:
    foreign = {
        "the upstream itself": f"https://127.0.0.1:{company.upstreams['ledger']}/mcp",
        "another route": f"{company.data_url}/a2a/analyst",
        "the gateway": company.data_url,
        "the other listener": f"{company.public_url}/mcp/ledger",
    }
    ledger = Ledger()
    async with through_gateway(company, ledger):
        for whom, resource in foreign.items():
            async with bare(company, token=company.token(resource)) as wire:
                assert refusal_of(await post(wire, READ)) == (401, 1401, Reason.TOKEN_AUDIENCE), whom
    assert ledger.headers == []


async def test_a_token_counts_in_one_place_only(company: Company) -> None:
    company.settings["routes"]["mcp"]["ledger"]["user"] = "required"
    ledger, root = Ledger(), company.token(f"{company.data_url}/mcp/ledger")
    in_params, in_meta = call("read_balance"), call("read_balance")
    in_params["params"]["access_token"] = root
    in_meta["params"]["_meta"]["authorization"] = f"Bearer {root}"
    places = {
        "a cookie": (READ, {"Cookie": f"access_token={root}; Authorization=Bearer {root}"}, ""),
        "other headers": (READ, {"X-Authorization": f"Bearer {root}", "Proxy-Authorization": f"Bearer {root}"}, ""),
        "the query": (READ, {}, f"?access_token={root}"),
        "params": (in_params, {}, ""),
        "_meta": (in_meta, {}, ""),
    }
    async with through_gateway(company, ledger), bare(company, token=None) as wire:
        for place, (message, headers, query) in places.items():
            reply = await post(Wire(wire.http, wire.url + query), message, headers)
            assert refusal_of(reply) == (401, 1401, Reason.TOKEN_MISSING), place
    assert ledger.headers == []


async def test_two_tokens_are_none(company: Company) -> None:
    ledger, own = Ledger(), company.token(f"{company.data_url}/mcp/ledger")
    async with through_gateway(company, ledger), bare(company, token=None) as wire:
        for two in (f"Bearer {own}, Bearer {own}", f"Bearer {own} {own}", f"Bearer  {own},", f"Basic {own}"):
            reply = await post(wire, READ, {"Authorization": two})
            assert refusal_of(reply) == (401, 1401, Reason.TOKEN_MALFORMED)
    assert ledger.headers == []


async def test_a_servers_token_opens_nothing_at_the_gateway(company: Company) -> None:
    """What the ledger was sent could be stolen there; it is for the ledger, by the gateway's certificate, alone."""
    ledger = Ledger()
    async with delegates(company, "analyst"), through_gateway(company, ledger):
        async with bare(company) as wire:
            await post(wire, READ)
        stolen = ledger.headers[0]["authorization"].removeprefix("Bearer ")
        for agent in ("planner", "analyst", "cron"):
            async with bare(company, agent, token=stolen) as wire:
                assert refusal_of(await post(wire, READ)) == (403, 1403, Reason.CHAIN_HOLDER)
            assert (await ask(company, agent, "analyst", stolen)).status_code == 403
    assert len(ledger.headers) == 1
