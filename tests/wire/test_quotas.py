"""Quotas on the wire: who is one too many is told when to come back, truly; nothing of it reaches an upstream.

The gateway's clock of quotas is moved by hand, so that nobody waits for a minute to pass.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from a2a.client.errors import A2AClientError
from mcp import MCPError

from gateway.core.audit import OutcomeRecord, RefusedRecord
from tests.company import Company
from tests.gateways import mcp_client
from tests.wire.agent import asking, heard, sending
from tests.wire.agent import bare as bare_a2a
from tests.wire.analyst import analysing
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Wire, answer_of, bare, call, headers_of, post, record_of, refusal_of, through_gateway
from tests.wire.streams import asking as asking_stream
from tests.wire.test_a2a_http_json import VERSION, body
from tests.wire.test_metrics import scrape
from tests.wire.token_endpoint import ask, error_of, exchange

READ = call("read_balance")


class Clock:
    """Nanoseconds that only move by hand."""

    def __init__(self) -> None:
        self.now = time.monotonic_ns()

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds * 1_000_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("gateway.proxy.gate.monotonic_ns", made)
    return made


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


async def answered(wire: Wire, status: int) -> None:
    """Call until the answer has this status."""
    while (await post(wire, READ)).status_code != status:
        pass


def retry_after(response: Any) -> int:
    """The header, which the data repeats."""
    seconds = int(response.headers["retry-after"])
    assert answer_of(response)["error"]["data"]["retry_after_seconds"] == seconds
    return seconds


async def test_the_official_client_sees_why_and_when_and_then_gets_through(company: Company, clock: Clock) -> None:
    company.settings["quotas"] = {"agent_tool": {"*": {"*": {"requests_per_minute": 2}}}}
    async with through_gateway(company, ledger := Ledger()), mcp_client(company) as client:
        for _ in range(2):
            await client.call_tool("read_balance", {})
        with pytest.raises(MCPError) as refused:
            await client.call_tool("read_balance", {})
        data = refused.value.error.data
        assert refused.value.error.code == 1429
        assert "agent_tool planner ledger/read_balance may have 2 requests a minute" in refused.value.error.message
        assert (data["reason"], 60 < data["retry_after_seconds"] <= 65) == ("too_many_requests", True)
        await client.call_tool("count", {"to": 1})
        clock.forward(data["retry_after_seconds"])
        await client.call_tool("read_balance", {})
    assert [name for name, _ in ledger.calls].count("read_balance") == 3


async def test_what_is_refused_is_recorded_and_counted_and_waits_are_exact(company: Company, clock: Clock) -> None:
    company.settings["quotas"] = {"agent": {"planner": {"requests_per_minute": 3}}}
    async with through_gateway(company, ledger := Ledger()):
        async with bare(company) as wire, bare(company, "cron", token=None) as other:
            for _ in range(3):
                assert (await post(wire, READ)).status_code == 200
            refused = await post(wire, READ)
            assert refusal_of(refused) == (429, 1429, "too_many_requests")
            seconds = retry_after(refused)
            assert (await post(other, READ)).status_code == 200, "others have their own"
            clock.forward(seconds - 1)
            assert retry_after(await post(wire, READ)) == 1
            clock.forward(1)
            assert (await post(wire, READ)).status_code == 200
        metrics = await scrape(company)
    record = record_of(company, refused).record
    assert isinstance(record, RefusedRecord)
    assert (record.reason, record.detail) == ("too_many_requests", "agent planner may have 3 requests a minute")
    assert record.agent is not None
    assert record.agent.name == "planner"
    assert metrics.value("hopgate_limited_total", whose="agent", measure="requests") == 2
    assert metrics.value("hopgate_decisions_total", reason="too_many_requests") == 2
    assert metrics.value("hopgate_counted_names", whose="agent") == 2
    assert len(ledger.calls) == 5


@pytest.mark.parametrize(
    ("whose", "quotas"),
    [
        ("user", {"corp|maria": {"requests_per_minute": 1}}),
        ("team", {"finance": {"requests_per_hour": 1}}),
        ("tool", {"ledger/read_balance": {"requests_per_minute": 1}}),
        ("route", {"mcp/ledger": {"requests_per_hour": 1}}),
        ("user_tool", {"*": {"ledger/read_balance": {"requests_per_minute": 1}}}),
    ],
)
async def test_whoever_it_is_counted_for(company: Company, whose: str, quotas: Any) -> None:
    company.settings["quotas"] = {whose: quotas}
    async with through_gateway(company, ledger := Ledger()), bare(company) as wire:
        assert (await post(wire, READ)).status_code == 200
        refused = await post(wire, READ)
    assert refusal_of(refused) == (429, 1429, "too_many_requests")
    assert answer_of(refused)["error"]["message"].partition(": ")[2].startswith(f"{whose} ")
    assert len(ledger.calls) == 1


async def test_a_tools_quota_is_everybodys(company: Company) -> None:
    company.settings["quotas"] = {"tool": {"*": {"requests_per_minute": 1}}}
    async with through_gateway(company, Ledger()), bare(company) as wire, bare(company, "cron", token=None) as other:
        assert (await post(wire, READ)).status_code == 200
        assert refusal_of(await post(other, READ))[0] == 429
        assert (await post(wire, call("count", to=1))).status_code == 200


async def test_only_destructive_calls_use_up_the_destructive_quota(company: Company) -> None:
    company.registry["servers"]["ledger"]["tools"]["pay"]["destructive"] = True
    company.settings["quotas"] = {"agent_destructive": {"*": {"requests_per_minute": 1}}}
    pay = call("pay", amount=1, to="bob")
    async with through_gateway(company, Ledger()), bare(company) as wire:
        for message, status in ((READ, 200), (READ, 200), (pay, 200), (pay, 429), (READ, 200)):
            assert (await post(wire, message)).status_code == status


async def test_a_stream_is_a_call_until_it_ends_however_it_ends(company: Company) -> None:
    company.settings["quotas"] = {"agent": {"planner": {"concurrent": 1}}}
    async with through_gateway(company, ledger := Ledger()), bare(company) as wire, bare(company) as leaving:
        slow = call("slow")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(post(leaving, slow))
            await ledger.started.wait()
            refused = await post(wire, READ)
            assert refusal_of(refused) == (429, 1429, "too_many_calls")
            assert retry_after(refused) == 1
            running.cancel()
        await asyncio.wait_for(ledger.left.wait(), 10)
        await answered(wire, 200)
        for _ in range(5):
            assert (await post(wire, READ)).status_code == 200, "each is over before its client can ask again"
            assert (await post(wire, call("delete_all"))).status_code == 403, "refused calls are over too"
            assert (await post(wire, b"{")).status_code == 400


async def test_a_body_that_comes_slowly_holds_a_place(company: Company) -> None:
    company.settings["quotas"] = {"agent": {"planner": {"concurrent": 1}}}
    async with through_gateway(company, Ledger()), bare(company) as wire:
        url = f"{company.data_url}/mcp/ledger"
        _, writer = await asyncio.open_connection(
            "127.0.0.1", company.data_port, ssl=company.client("planner"), server_hostname="127.0.0.1"
        )
        lines = [f"{name}: {value}" for name, value in headers_of(READ).items()]
        lines += [f"Host: 127.0.0.1:{company.data_port}", f"Authorization: Bearer {company.token(url)}"]
        writer.write("\r\n".join(["POST /mcp/ledger HTTP/1.1", *lines, "Content-Length: 500", "", ""]).encode())
        await answered(wire, 429)
        assert refusal_of(await post(wire, READ))[2] == "too_many_calls"
        writer.transport.abort()
        await answered(wire, 200)


async def test_bytes_are_refused_before_they_are_read(company: Company, clock: Clock) -> None:
    company.settings["quotas"] = {"agent": {"planner": {"bytes_per_hour": 20_000}}}
    company.settings["limits"] = {"body_bytes": 16_384}
    large = call("pay", amount=1, to="x" * 15_000)
    async with through_gateway(company, ledger := Ledger()), bare(company) as wire:
        assert (await post(wire, large)).status_code == 200
        refused = await post(wire, large)
        assert refusal_of(refused) == (429, 1429, "too_many_bytes")
        clock.forward(retry_after(refused))
        assert (await post(wire, large)).status_code == 200
    assert [name for name, _ in ledger.calls] == ["pay", "pay"]


async def test_a_stream_ends_when_its_bytes_are_used_up(company: Company) -> None:
    company.settings["quotas"] = {"agent": {"planner": {"bytes_per_hour": 4_000}}}
    counting = call("count", to=500)
    counting["params"]["_meta"]["progressToken"] = "p"
    async with through_gateway(company, Ledger()), bare(company) as wire:
        response = await post(wire, counting)
        error = answer_of(response)["error"]
        assert (response.status_code, error["code"], error["data"]["reason"]) == (200, 1429, "too_many_bytes")
        assert len(response.content) < 10_000
        assert refusal_of(await post(wire, READ))[2] == "too_many_bytes"
    [outcome] = [found.outcome for found in company.records() if found.outcome is not None]
    assert isinstance(outcome, OutcomeRecord)
    assert (outcome.ok, outcome.reason) == (False, "too_many_bytes")


async def test_a_peer_whose_requests_are_refused_for_what_they_are_is_held_up(company: Company, clock: Clock) -> None:
    company.settings["quotas"] = {"refused_per_minute": 3}
    async with (
        through_gateway(company, ledger := Ledger()),
        bare(company) as wire,
        bare(company, "cron", token=None) as other,
    ):
        for _ in range(3):
            assert (await post(wire, b"{")).status_code == 400
        held = await post(wire, READ)
        assert refusal_of(held) == (429, 1429, "too_many_refused")
        assert (await post(other, READ)).status_code == 200
        clock.forward(retry_after(held))
        assert (await post(wire, READ)).status_code == 200
        for _ in range(4):
            assert (await post(wire, call("delete_all"))).status_code == 403, "a policy's denial is none of these"
    assert len(ledger.calls) == 2


async def test_what_is_not_even_http_counts_for_its_peer(company: Company) -> None:
    company.settings["quotas"] = {"refused_per_minute": 2}
    async with through_gateway(company, Ledger()), bare(company) as wire:
        for _ in range(2):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", company.data_port, ssl=company.client("planner"), server_hostname="127.0.0.1"
            )
            writer.write(b"GARBAGE\r\n\r\n")
            assert b"400" in await reader.readline()
            writer.transport.abort()
        assert refusal_of(await post(wire, READ))[2] == "too_many_refused"


async def test_bad_tokens_are_held_up_too(company: Company) -> None:
    company.settings["quotas"] = {"refused_per_minute": 2}
    async with through_gateway(company, Ledger()), bare(company, token="x.y.z") as wire:
        assert [(await post(wire, READ)).status_code for _ in range(3)] == [401, 401, 429]


async def test_an_agent_is_asked_by_its_own_protocol(company: Company, clock: Clock) -> None:
    company.settings["quotas"] = {"route": {"a2a/analyst": {"requests_per_minute": 2}}}
    async with analysing(company), asking(company, "planner", streaming=False) as client:
        await heard(client, "hello")
        with pytest.raises(A2AClientError, match="429"):
            await heard(client, "hello")
        async with bare_a2a(company, "planner") as wire:
            by_rpc = await wire.http.post(wire.url, json=sending("hello"), headers=VERSION)
            by_http = await wire.http.post(f"{wire.url}/message:send", json=body("hello"), headers=VERSION)
    assert refusal_of(by_rpc) == (429, 1429, "too_many_requests")
    seconds, error = retry_after(by_rpc), by_http.json()["error"]
    info, retry = error["details"]
    assert (by_http.status_code, by_http.headers["retry-after"]) == (429, str(seconds))
    assert (error["status"], info["reason"]) == ("RESOURCE_EXHAUSTED", "TOO_MANY_REQUESTS")
    assert retry == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds}s"}


async def test_requests_for_tokens_count(company: Company) -> None:
    company.settings["quotas"] = {"agent": {"planner": {"requests_per_minute": 1}}}
    token = company.token(f"{company.data_url}/mcp/ledger")
    async with through_gateway(company, Ledger()):
        await ask(company, "planner", exchange(company, token))
        refused = await ask(company, "planner", exchange(company, token))
    assert error_of(refused)[::2] == (429, "too_many_requests")
    assert int(refused.headers["retry-after"]) > 1


async def test_a_mistake_in_counting_lets_nothing_through(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    company.settings["quotas"] = {"agent": {"*": {"requests_per_minute": 100}}}
    async with through_gateway(company, ledger := Ledger()), bare(company) as wire:
        with monkeypatch.context() as broken:
            broken.setattr("gateway.proxy.gate.monotonic_ns", lambda: "no number")
            refused = await post(wire, READ)
        assert refusal_of(refused)[::2] == (500, "internal_error")
        assert (await post(wire, READ)).status_code == 200
    assert len(ledger.calls) == 1


async def test_a_client_may_call_again_as_soon_as_it_has_its_answer(company: Company) -> None:
    """Who follows a stream doesn't wait for its end once the answer is there."""
    company.settings["quotas"] = {"agent": {"planner": {"concurrent": 1}}}
    counting = call("count", to=1)
    counting["params"]["_meta"]["progressToken"] = "p"
    async with through_gateway(company, Ledger()), bare(company) as wire, bare(company) as other:
        await post(other, call("delete_all"))
        for _ in range(5):
            async with asking_stream(wire, {}, counting) as stream:
                while "id" not in await stream.message():
                    pass
                assert (await post(other, call("delete_all"))).status_code == 403


async def test_quotas_change_with_a_reload_and_counts_stay(company: Company) -> None:
    company.settings["quotas"] = {"agent": {"planner": {"requests_per_minute": 2}}}
    async with through_gateway(company, Ledger()), bare(company) as wire:
        assert [(await post(wire, READ)).status_code for _ in range(3)] == [200, 200, 429]
        company.settings["quotas"] = {"agent": {"planner": {"requests_per_minute": 4}}}
        company.write()
        await answered(wire, 200)
        assert [(await post(wire, READ)).status_code for _ in range(2)] == [200, 429]
