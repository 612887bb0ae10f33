"""Legacy sessions: the client holds a sealed handle, good for its own agent, person and route only, on any instance."""

import time
from pathlib import Path

import jwt
import pytest

from gateway.core.audit import RefusedRecord
from gateway.core.model import Route
from gateway.core.reasons import Reason
from gateway.identity.seal import AeadSealer
from gateway.proxy import sessions
from tests.company import Company
from tests.gateways import asgi, running
from tests.ports import free_port
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, legacy, open_session, post, record_of, refusal_of, through_gateway

READ = legacy("tools/call", {"name": "read_balance", "arguments": {}})
GONE = (404, 1404, Reason.SESSION_UNKNOWN)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    found = Company(tmp_path)
    found.registry["agents"]["analyst"] |= {"entry_point": True, "clients": ["cli"]}
    return found


async def test_the_client_never_sees_the_upstreams_id(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        session = await open_session(wire)
        answer = await post(wire, READ, session)
    [upstreams] = ledger.sessions
    handle = session["Mcp-Session-Id"]
    assert handle is not None
    assert upstreams not in handle
    assert "mcp-session-id" not in answer.headers
    assert ledger.headers[-1]["mcp-session-id"] == upstreams
    assert not any(handle in str(headers) for headers in ledger.headers)


@pytest.mark.parametrize("agent", ["analyst", "cron"])
async def test_another_agents_session_is_none(company: Company, agent: str) -> None:
    ledger = Ledger()
    token = None if agent == "cron" else ""
    async with through_gateway(company, ledger), bare(company) as mine, bare(company, agent, token=token) as other:
        session = await open_session(mine)
        before = len(ledger.headers)
        stolen = await post(other, READ, session)
        record = record_of(company, stolen).record
        assert (await post(mine, READ, session)).status_code == 200
    assert refusal_of(stolen) == GONE
    assert isinstance(record, RefusedRecord)
    assert (record.reason, record.method) == (Reason.SESSION_UNKNOWN, "tools/call")
    assert record.agent is not None
    assert record.agent.name == agent
    assert len(ledger.headers) == before + 1


async def test_another_persons_session_is_none(company: Company) -> None:
    ledger = Ledger()
    pablo = company.token(f"{company.data_url}/mcp/ledger", sub="pablo")
    async with through_gateway(company, ledger), bare(company) as mine, bare(company, token=pablo) as other:
        session = await open_session(mine)
        before = len(ledger.headers)
        stolen = await post(other, READ, session)
        record = record_of(company, stolen).record
    assert refusal_of(stolen) == GONE
    assert record.user == "corp|pablo"
    assert len(ledger.headers) == before


async def test_a_session_of_another_route_is_none(company: Company) -> None:
    company.registry["servers"]["archive"] = {
        **company.registry["servers"]["ledger"],
        "upstream": {
            "url": f"https://127.0.0.1:{(port := free_port())}/mcp",
            "spiffe_id": "spiffe://demo.test/server/archive",
        },
    }
    company.settings["routes"]["mcp"]["archive"] = {"user": "optional"}
    ledger, archive = Ledger(), Ledger()
    async with (
        asgi(archive.application, company, "server/archive", port),
        through_gateway(company, ledger),
        bare(company, "cron", token=None) as here,
        bare(company, "cron", server="archive", token=None) as there,
    ):
        session = await open_session(here)
        moved = await post(there, READ, session)
        record = record_of(company, moved).record
        assert (await post(there, READ, await open_session(there))).status_code != 404
    assert refusal_of(moved) == GONE
    assert (record.route, record.reason) == ("archive", Reason.SESSION_UNKNOWN)
    assert archive.calls == []


async def test_an_altered_handle_is_none(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        session = await open_session(wire)
        handle, [upstreams] = str(session["Mcp-Session-Id"]), ledger.sessions
        before = len(ledger.headers)
        middle = len(handle) // 2
        flipped = handle[:middle] + ("A" if handle[middle] != "A" else "B") + handle[middle + 1 :]
        for altered in (flipped, handle[:-1], handle + "=", handle + "A", handle[:20], "x", upstreams):
            answer = await post(wire, READ, {**session, "Mcp-Session-Id": altered})
            assert refusal_of(answer) == GONE, altered
            assert record_of(company, answer).record.reason == Reason.SESSION_UNKNOWN
    assert len(ledger.headers) == before


async def test_an_expired_handle_is_none(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        session = await open_session(wire)
        [secret] = company.directory.glob("*sealing*")
        sealer = AeadSealer(secret.read_bytes())
        route = Route("mcp", "ledger", "/mcp/ledger", wire.url, wire.url)
        whose, [upstreams], now = "corp|maria spiffe://demo.test/agent/planner", ledger.sessions, int(time.time())
        live = sessions.seal(sealer, upstreams, route, whose, now + 60)
        dead = sessions.seal(sealer, upstreams, route, whose, now)
        assert (await post(wire, READ, {**session, "Mcp-Session-Id": live})).status_code == 200
        expired = await post(wire, READ, {**session, "Mcp-Session-Id": dead})
    assert refusal_of(expired) == GONE


async def test_a_restart_keeps_sessions(company: Company) -> None:
    ledger = Ledger()
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]), bare(company) as wire:
        async with running(company):
            session = await open_session(wire)
        async with running(company):
            answer = await post(wire, READ, session)
    assert answer_of(answer)["result"]["structuredContent"] == {"account": "operations", "balance": 128150}
    assert len(ledger.sessions) == 1


async def test_another_deployments_secret_opens_nothing(company: Company) -> None:
    ledger = Ledger()
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]), bare(company) as wire:
        async with running(company):
            session = await open_session(wire)
        [sealing] = company.directory.glob("*sealing*")
        sealing.unlink()
        async with running(company):
            answer = await post(wire, READ, session)
    assert refusal_of(answer) == GONE


async def test_a_session_that_the_upstream_ended_is_none(company: Company) -> None:
    first, second = Ledger(), Ledger()
    port = company.upstreams["ledger"]
    async with running(company), bare(company) as wire:
        async with asgi(first.application, company, "server/ledger", port):
            session = await open_session(wire)
        async with asgi(second.application, company, "server/ledger", port):
            answer = await post(wire, READ, session)
    assert refusal_of(answer) == GONE


async def test_a_session_is_ended_by_its_owner_only(company: Company) -> None:
    company.registry["agents"]["auditor"] |= {"entry_point": True, "clients": ["cli"]}
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire, bare(company, "auditor") as other:
        session = await open_session(wire)
        before = len(ledger.headers)
        assert refusal_of(await other.http.delete(other.url, headers=_headers(session))) == GONE
        assert len(ledger.headers) == before
        assert (await post(wire, READ, session)).status_code == 200
        ended = await wire.http.delete(wire.url, headers=_headers(session))
        assert (ended.status_code, ended.content) == (200, b"")
        assert refusal_of(await post(wire, READ, session)) == GONE
    [found] = [
        found for found in company.records() if getattr(found.record, "method", "") == "DELETE" and found.outcome
    ]
    assert found.outcome is not None
    assert (found.record.action, found.outcome.ok, found.outcome.status) == ("notify", True, 200)


def _headers(session: dict[str, str | None]) -> dict[str, str]:
    return {name: str(value) for name, value in session.items()} | {"Accept": "text/event-stream"}


async def test_each_request_of_a_session_has_a_token_for_what_it_needs(company: Company) -> None:
    ledger = Ledger()
    async with through_gateway(company, ledger), bare(company) as wire:
        session = await open_session(wire)
        await post(wire, READ, session)
        await post(wire, READ, session)
    tokens = [headers["authorization"].removeprefix("Bearer ") for headers in ledger.headers]
    claims = [jwt.decode(token, options={"verify_signature": False}) for token in tokens]
    assert [each["scope"] for each in claims] == ["", "", "ledger/read_balance", "ledger/read_balance"]
    assert len({each["jti"] for each in claims}) == 2
