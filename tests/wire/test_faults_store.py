"""A store that fails refuses the hop and forwards nothing; once it works again, so does the gateway."""

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.core.audit import DecisionRecord, RefusedRecord
from tests.company import Company
from tests.gateways import Script, running, scripted, serving
from tests.wire.agent import Bare, bare, refusal_of, sending
from tests.wire.delegate import delegated, delegates
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import bare as mcp_bare
from tests.wire.mcp_calls import call, post, through_gateway
from tests.wire.mcp_calls import refusal_of as mcp_refusal
from tests.wire.token_endpoint import ask, error_of, exchange
from tests.wire.tracing import carrying, traced

ANSWER = b'{"jsonrpc":"2.0","id":7,"result":{"message":{"messageId":"m","role":"ROLE_AGENT","parts":[]}}}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
    len(ANSWER),
    ANSWER,
)
READ = call("read_balance")
FULL_BYTES = 4096
"""Less than the smallest write to the log's database, and more than the gateway's output."""


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Another process's transaction keeps the gateway, which runs in this one, from writing."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        # In a thread: whoever holds the lock may need this one to give it back.
        await asyncio.to_thread(connection.execute, "BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def refusing(path: Path, table: str) -> None:
    """From now on the store takes nothing into ``table``."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END")


@asynccontextmanager
async def answering(company: Company) -> AsyncIterator[Script]:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(REPLY)

    script = Script(answer)
    async with scripted(company, "agent/analyst", company.upstreams["analyst"], script):
        yield script


async def readiness(company: Company) -> tuple[int, Any]:
    async with httpx.AsyncClient() as http:
        response = await http.get(f"http://127.0.0.1:{company.health_port}/readyz")
    return response.status_code, response.json()["checks"]["audit"]


async def works(http: Bare) -> bool:
    return (await http.post(sending("hello"))).status_code == 200


async def test_a_locked_audit_log(company: Company) -> None:
    audit = company.directory / "hopgate.audit.db"
    async with answering(company) as script, running(company), bare(company) as http:
        assert await works(http)
        async with locked(audit):
            refused = await http.post(sending("hello"))
            assert refusal_of(refused) == (503, 1503, "audit_unavailable")
            assert refused.headers["retry-after"] == "1"
            assert await readiness(company) == (503, "failing")
        assert len(script.requests) == 1
        assert await works(http)
        assert await readiness(company) == (200, "ok")
    assert len(script.requests) == 2


async def test_an_audit_log_that_was_taken_away(company: Company) -> None:
    audit = company.directory / "hopgate.audit.db"
    async with answering(company) as script, running(company), bare(company) as http:
        audit.rename(company.directory / "elsewhere.db")
        assert refusal_of(await http.post(sending("hello"))) == (503, 1503, "audit_unavailable")
        (company.directory / "elsewhere.db").write_bytes(b"")
        audit.write_bytes(b"")
        assert refusal_of(await http.post(sending("hello"))) == (503, 1503, "audit_unavailable")
    assert script.requests == []


async def test_a_disk_that_takes_no_more(company: Company) -> None:
    async with answering(company) as script, serving(company) as gateway, bare(company) as http:
        assert await works(http)
        _, most = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (FULL_BYTES, most))
        assert refusal_of(await http.post(sending("hello"))) == (503, 1503, "audit_unavailable")
        assert await readiness(company) == (503, "failing")
        assert len(script.requests) == 1
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (most, most))
        assert await works(http)
        assert await readiness(company) == (200, "ok")


async def test_a_log_that_fails_after_the_decision_costs_the_outcome_only(company: Company) -> None:
    async with answering(company) as script, running(company), bare(company) as http:
        answer = script.answer
        async with AsyncExitStack() as until_answered:

            async def lock_and_answer(writer: asyncio.StreamWriter) -> None:
                await until_answered.enter_async_context(locked(company.directory / "hopgate.audit.db"))
                await answer(writer)

            script.answer = lock_and_answer
            assert await works(http)
    [hop] = company.records()
    assert isinstance(hop.record, DecisionRecord)
    assert hop.outcome is None


async def test_a_client_that_leaves_while_its_decision_is_recorded(company: Company) -> None:
    audit = company.directory / "hopgate.audit.db"
    async with answering(company) as script, running(company):
        async with bare(company) as http:
            http.http.timeout = httpx.Timeout(0.7, connect=5)
            async with locked(audit):
                with pytest.raises(httpx.ReadTimeout):
                    await http.post(sending("hello"))
        async with bare(company) as http:
            assert await works(http)
    left, _ = company.records()
    assert isinstance(left.record, DecisionRecord)
    assert left.outcome is not None
    assert left.outcome.reason == "client_closed"
    assert len(script.requests) == 1


async def test_a_locked_state_store(company: Company) -> None:
    async with answering(company) as script, running(company), bare(company) as http:
        async with locked(company.directory / "hopgate.db"):
            assert refusal_of(await http.post(sending("hello"))) == (503, 1503, "store_unavailable")
        assert script.requests == []
        assert await works(http)
    refused, permitted = company.records()
    assert isinstance(refused.record, RefusedRecord)
    assert refused.record.reason == "store_unavailable"
    assert isinstance(permitted.record, DecisionRecord)


async def test_a_root_token_seen_before_is_refused_once_the_state_store_is_gone(company: Company) -> None:
    company.registry["agents"]["cron"]["clients"] = ["cli"]
    ledger = Ledger()
    async with through_gateway(company, ledger), mcp_bare(company, "cron") as wire:
        assert (await post(wire, READ)).status_code == 200
        async with locked(company.directory / "hopgate.db"):
            async with asyncio.timeout(10):
                while (reply := await post(wire, READ)).status_code == 200:
                    pass
            served = len(ledger.headers)
            assert mcp_refusal(reply) == (503, 1503, "store_unavailable")
            assert mcp_refusal(await post(wire, READ)) == (503, 1503, "store_unavailable")
            assert len(ledger.headers) == served
        assert (await post(wire, READ)).status_code == 200


async def test_a_handle_that_cannot_be_kept_or_looked_up(company: Company) -> None:
    """A delegation whose chain could not go on isn't forwarded; a chain that can't be looked up isn't begun anew."""
    traced(company, "analyst", "cron")
    async with answering(company) as script, running(company), bare(company) as http:
        assert await works(http)
        refusing(company.directory / "hopgate.db", "handles")
        assert refusal_of(await http.post(sending("hello"))) == (503, 1503, "store_unavailable")
        async with locked(company.directory / "hopgate.db"):
            for agent in ("analyst", "cron"):
                reply = await carrying(company, agent, f"hopgate={'0' * 32}")
                assert (reply.status_code, reply.json()["error"]["data"]["reason"]) == (503, "store_unavailable")
        assert len(script.requests) == 1
    decided = company.records()[1]
    assert decided.outcome is not None
    assert decided.outcome.reason == "store_unavailable"


async def test_a_token_that_cannot_be_recorded_is_not_issued(company: Company) -> None:
    async with delegates(company, "analyst") as [analyst], running(company):
        held = await delegated(company, analyst)
        async with locked(company.directory / "hopgate.audit.db"):
            reply = await ask(company, "analyst", exchange(company, held))
            assert error_of(reply) == (503, "temporarily_unavailable", "audit_unavailable")
            assert reply.headers["retry-after"] == "1"
            assert "access_token" not in reply.text
        assert (await ask(company, "analyst", exchange(company, held))).status_code == 200
