"""``/livez``, ``/readyz`` and ``/metrics`` say what happened, in series whose labels no client can choose."""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from mcp import MCPError
from prometheus_client.parser import text_string_to_metric_families

from gateway import __version__
from gateway.core.audit import ApprovalRecord, DecisionRecord, FactsRecord, OutcomeRecord, RefusedRecord, decode
from gateway.store.query import AuditReader
from tests.company import Company
from tests.gateways import asgi, mcp_client, running
from tests.wire.ledger import Ledger

Labels = Mapping[str, str]
NAMED = "unheard-of"
KEPT = (DecisionRecord, OutcomeRecord, RefusedRecord, FactsRecord, ApprovalRecord)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


class Exposition:
    """One scrape, parsed as Prometheus would."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples that have at least these labels; fails where nothing has the name."""
        named = [sample for sample in self.samples if sample.name == name]
        assert named, f"{name} is not exposed"
        return sum(sample.value for sample in named if sample.labels.items() >= labels.items())


async def get(company: Company, path: str) -> tuple[int, str, str]:
    async with aiohttp.request("GET", f"http://127.0.0.1:{company.health_port}{path}") as response:
        return response.status, response.content_type, await response.text()


async def scrape(company: Company) -> Exposition:
    status, kind, text = await get(company, "/metrics")
    assert (status, kind) == (200, "text/plain")
    return Exposition(text)


async def post(company: Company, context: ssl.SSLContext, path: str, headers: Labels, base: str = "") -> int:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http,
        http.post(f"{base or company.data_url}{path}", json={}, headers=headers) as response,
    ):
        return response.status


async def test_alive_and_ready_with_the_generation_in_force(company: Company) -> None:
    async with running(company):
        alive, ready, unknown = await get(company, "/livez"), await get(company, "/readyz"), await get(company, "/x")
        exposition = await scrape(company)
    assert alive == (200, "text/plain", "ok\n")
    assert ready[:2] == (200, "application/json")
    assert '"ready":true' in ready[2]
    assert '"generation":1' in ready[2]
    assert (
        '"configuration":"ok","checks":{"identity":"ok","listeners":"ok","audit":"ok","revocations":"ok"}' in ready[2]
    )
    assert unknown[0] == 404
    assert exposition.value("hopgate_snapshot_generation") == 1
    assert exposition.value("hopgate_build_info", version=__version__) == 1
    assert exposition.value("process_resident_memory_bytes") > 0


async def test_permitted_denied_and_failed_hops_are_counted_by_verdict_and_reason(company: Company) -> None:
    ledger = Ledger()
    async with running(company):
        async with (
            asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
            mcp_client(company, mode="2026-07-28") as client,
        ):
            await client.call_tool("read_balance", {"account": "payroll"})
            before = await scrape(company)
            await client.call_tool("read_balance", {"account": "payroll"})
            for tool, arguments in (("delete_all", {}), ("pay", {"amount": 5000, "to": "x"}), (NAMED, {})):
                with pytest.raises(MCPError):
                    await client.call_tool(tool, arguments)
            after = await scrape(company)
        async with mcp_client(company, mode="2026-07-28") as client:
            with pytest.raises(MCPError):
                await client.call_tool("read_balance", {"account": "payroll"})
        failed = await scrape(company)

    def counted(**labels: str) -> float:
        return after.value("hopgate_decisions_total", **labels) - before.value("hopgate_decisions_total", **labels)

    assert counted(verdict="permit", reason="permitted", protocol="mcp") == 1
    assert counted(verdict="deny", reason="no_permit", protocol="mcp") == 1
    assert counted(verdict="ask", reason="approval_required", protocol="mcp") == 1
    assert counted(verdict="deny", reason="tool_unknown", protocol="mcp") == 1
    tokens = after.value("hopgate_tokens_minted_total") + after.value("hopgate_tokens_reused_total")
    assert tokens == after.value("hopgate_decisions_total", verdict="permit")
    assert failed.value("hopgate_upstream_errors_total", reason="upstream_unreachable") == 1
    records = [decode(row.payload) for row in AuditReader(f"sqlite:///{company.directory}/hopgate.db").rows()]
    hops = [record for record in records if isinstance(record, KEPT)]
    assert failed.value("hopgate_audit_records_total") == len(hops)
    assert failed.value("hopgate_audit_commit_seconds_count") > 0
    assert failed.value("hopgate_audit_pending_records") == 0
    for stage in ("token", "parse", "chain", "decide", "audit", "mint", "upstream", "total"):
        assert failed.value("hopgate_stage_seconds_count", stage=stage) >= 4, stage
        assert failed.value("hopgate_stage_seconds_sum", stage=stage) > 0, stage
    memory = "hopgate_decision_memory_total"
    assert after.value(memory, answer="hit") > before.value(memory, answer="hit")
    assert after.value(memory, answer="miss") > 0
    assert 0 < after.value("hopgate_decision_memory_size") <= after.value(memory, answer="miss")
    assert 0 < after.value("hopgate_policy_slice_largest") <= len(company.policies) * 10
    assert after.value("hopgate_policy_slices") > 1
    evaluated = "hopgate_policy_last_evaluated_timestamp_seconds"
    assert after.value(evaluated, policy="finance-read") > 0
    assert after.value(evaluated, policy="large-payments") > 0
    assert after.value(evaluated, policy="no-loops") == 0
    assert NAMED not in failed.text


async def test_refusals_without_a_record_are_counted_where_they_happen(company: Company) -> None:
    bad = {"Authorization": f"Bearer {NAMED}"}
    async with running(company):
        with pytest.raises(aiohttp.ClientError):
            await post(company, company.anyone(), "/mcp/ledger", bad)
        with pytest.raises(aiohttp.ClientError):
            await post(company, foreign(company), "/mcp/ledger", bad)
        assert await post(company, company.anyone(), f"/mcp/{NAMED}", {}, company.public_url) == 404
        assert await post(company, company.anyone(), "/a2a/planner", bad, company.public_url) == 401
        assert await post(company, company.client("planner"), "/mcp/ledger", bad) == 401
        exposition = await scrape(company)
    assert exposition.value("hopgate_handshakes_refused_total", reason="handshake") == 2
    assert exposition.value("hopgate_refused_unrecorded_total", reason="route_unknown") == 1
    assert exposition.value("hopgate_refused_unrecorded_total", reason="token_malformed") == 1
    assert exposition.value("hopgate_decisions_total", verdict="error", reason="token_malformed", protocol="a2a") == 1
    assert exposition.value("hopgate_decisions_total", verdict="error", reason="token_malformed", protocol="mcp") == 1
    assert exposition.value("hopgate_audit_records_total") == 1
    assert NAMED not in exposition.text


def foreign(company: Company) -> ssl.SSLContext:
    """A certificate of another company that calls itself ``demo.test`` too."""
    elsewhere = Company(company.directory / "elsewhere").svid("agent/planner")
    context = company.anyone()
    context.load_cert_chain(elsewhere.certificate, elsewhere.key)
    return context


async def test_an_open_stream_is_counted_while_it_lasts(company: Company) -> None:
    ledger = Ledger()
    async with (
        asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]),
        running(company),
        mcp_client(company, mode="2026-07-28") as client,
        asyncio.TaskGroup() as tasks,
    ):
        begun = asyncio.Event()

        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            begun.set()

        call = tasks.create_task(client.call_tool("slow", progress_callback=progressed))
        await begun.wait()
        during = await scrape(company)
        call.cancel()
        await ledger.cancelled.wait()
        after = await scrape(company)
    assert during.value("hopgate_streams_open", protocol="mcp") == 1
    assert after.value("hopgate_streams_open", protocol="mcp") == 0
