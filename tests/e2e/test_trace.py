"""One trace over all hops of a chain, received by a real OTLP collector, and nothing in it that is nobody's business.

Every hop is a server span with its decision and its upstream call below it; what is sent on names the upstream span.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from a2a.client import ClientConfig, create_client
from mcp import MCPError
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from demo.agents.conversation import Answer, question, read_answer
from gateway.store.query import AuditReader, Filters
from gateway.telemetry import semconv
from tests.company import Company
from tests.gateways import asgi, mcp_client, running
from tests.ports import free_port
from tests.wire.ledger import Ledger

SERVER, CLIENT, INTERNAL, ERROR = 2, 3, 1, 2
"""Numbers of opentelemetry.proto.trace.v1."""


@dataclass
class Collector:
    """What an OTLP collector got."""

    spans: list[Any] = field(default_factory=list)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def collect(self, tap: OtelTapHttpProtobufReceiver) -> None:
        async for span in tap.stream_traces():
            async with self._arrived:
                self.spans.append(span)
                self._arrived.notify_all()

    async def all_of(self, company: Company) -> int:
        """Wait for every recorded hop's span and those below it, once the gateway has stopped; how many hops."""
        hops = len(AuditReader(f"sqlite:///{company.directory}/hopgate.db").query(Filters(limit=1000)).found)
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.of_kind(SERVER)) >= hops and not self.orphans())
        return hops

    def of_kind(self, kind: int) -> list[Any]:
        return sorted((span for span in self.spans if span.kind == kind), key=lambda span: span.start_time_unix_nano)

    def orphans(self) -> list[Any]:
        """Spans of the gateway's own below a span that isn't there."""
        known = {span.span_id for span in self.spans}
        return [span for span in self.spans if span.kind != SERVER and span.parent_span_id not in known]

    def below(self, span: Any, name: str) -> Any:
        (found,) = [each for each in self.spans if each.parent_span_id == span.span_id and each.name == name]
        return found

    def named(self, name: str) -> Any:
        (found,) = [span for span in self.spans if span.name == name]
        return found


@asynccontextmanager
async def collecting(company: Company) -> AsyncIterator[Collector]:
    """A collector that the company's gateway exports to."""
    port, collector = free_port(), Collector()
    company.settings["telemetry"] = {"otlp": {"endpoint": f"http://127.0.0.1:{port}"}}
    async with (
        asyncio.TaskGroup() as tasks,
        OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port)) as tap,
    ):
        collected = tasks.create_task(collector.collect(tap))
        yield collector
        collected.cancel()


@dataclass
class Heard:
    """An ASGI application whose requests are kept, head and message."""

    application: Any
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.application(scope, receive, send)
            return
        body, more = b"", True
        while more:
            piece = await receive()
            body, more = body + piece.get("body", b""), piece.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((headers, json.loads(body)))
        whole = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return whole.pop() if whole else await receive()

        await self.application(scope, again, send)

    def call(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Headers and ``_meta`` of the one tool call."""
        (found,) = [(headers, message) for headers, message in self.requests if message["method"] == "tools/call"]
        return found[0], found[1]["params"]["_meta"]


@asynccontextmanager
async def standing(company: Company) -> AsyncIterator[Heard]:
    ledger = Heard(Ledger().application)
    async with asgi(ledger, company, "server/ledger", company.upstreams["ledger"]), running(company):
        yield ledger


async def maria_asks(company: Company, text: str, traceparent: str) -> Answer:
    url = f"{company.public_url}/a2a/planner"
    headers = {"Authorization": f"Bearer {company.token(url)}", "traceparent": traceparent}
    async with httpx.AsyncClient(verify=company.anyone(), headers=headers, timeout=20, trust_env=False) as http:
        client = await create_client(url, ClientConfig(httpx_client=http))
        return await read_answer(client.send_message(question(text)))


def new_context() -> tuple[str, str, str]:
    """Trace id, span id, and the ``traceparent`` of them."""
    trace, span = os.urandom(16).hex(), os.urandom(8).hex()
    return trace, span, f"00-{trace}-{span}-01"


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: value_of(each.value) for each in span.attributes}


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [value_of(each) for each in found.values] if kind == "array_value" else found


def parents(spans: Sequence[Any]) -> set[str]:
    return {span.parent_span_id.hex() for span in spans}


async def test_one_trace_spans_person_planner_analyst_and_ledger(company: Company, agents) -> None:
    trace, span_of_maria, traceparent = new_context()
    async with collecting(company) as collector:
        async with standing(company) as ledger, agents() as asked:
            answer = await maria_asks(company, "balance of payroll", traceparent)
        hops = await collector.all_of(company)
    assert answer.facts["balance"] == 128150
    assert {span.trace_id.hex() for span in collector.spans} == {trace}
    assert hops == len(ledger.requests) + 4, "card and message, to the planner and to the analyst"
    assert len(collector.spans) == 3 * hops

    to_planner = collector.named("SendStreamingMessage planner")
    to_analyst = collector.named("SendMessage analyst")
    to_ledger = collector.named("tools/call read_balance")
    assert to_planner.parent_span_id.hex() == span_of_maria
    assert to_analyst.parent_span_id == collector.below(to_planner, "upstream").span_id
    assert to_ledger.parent_span_id == collector.below(to_analyst, "upstream").span_id
    for hop in (to_planner, to_analyst, to_ledger):
        assert collector.below(hop, "authorize").kind == INTERNAL
        assert collector.below(hop, "upstream").kind == CLIENT

    for carried, hop in ((asked["planner"], to_planner), (asked["analyst"], to_analyst)):
        sent = f"00-{trace}-{collector.below(hop, 'upstream').span_id.hex()}-01"
        assert carried[0].carried["traceparent"] == sent
    headers, meta = ledger.call()
    assert headers["traceparent"] == f"00-{trace}-{collector.below(to_ledger, 'upstream').span_id.hex()}-01"
    assert meta["traceparent"] == headers["traceparent"]

    found = attributes(to_ledger)
    assert found.pop(semconv.HOPGATE_DECISION_ID)
    assert found.pop(semconv.HOPGATE_BUNDLE)
    assert found.pop(semconv.HOPGATE_TXN) == attributes(to_planner)[semconv.HOPGATE_TXN]
    assert found.pop(semconv.JSONRPC_REQUEST_ID)
    found.pop(semconv.HOPGATE_MATCHED)
    assert (
        found.items()
        >= {
            semconv.HOPGATE_VERDICT: "permit",
            semconv.HOPGATE_REASON: "permitted",
            semconv.HOPGATE_GENERATION: 1,
            semconv.HOPGATE_PROTOCOL: "mcp",
            semconv.HOPGATE_ROUTE: "/mcp/ledger",
            semconv.HOPGATE_ACTION: "invokeTool",
            semconv.HOPGATE_RESOURCE: 'Tool::"ledger/read_balance"',
            semconv.HOPGATE_AGENT: "analyst",
            semconv.HOPGATE_AGENT_OWNER: "corp|maria",
            semconv.HOPGATE_AGENT_TEAM: "finance",
            semconv.HOPGATE_SUBJECT: "corp|maria",
            semconv.HOPGATE_DEPTH: 2,
            semconv.HOPGATE_REENTRY: False,
            semconv.MCP_METHOD_NAME: "tools/call",
            semconv.GEN_AI_TOOL_NAME: "read_balance",
            semconv.HTTP_RESPONSE_STATUS_CODE: 200,
        }.items()
    )
    assert attributes(to_ledger)[semconv.HOPGATE_POLICY_IDS] == ["finance-read"]
    [policy] = map(json.loads, found[semconv.HOPGATE_DETERMINING])
    assert (policy["id"], policy["tier"], policy["effect"]) == ("finance-read", "teams", "permit")
    assert policy["matched"]["principal.risk_level"] == "low"
    assert attributes(to_ledger)[semconv.HOPGATE_ACTORS] == [
        "spiffe://demo.test/agent/planner",
        "spiffe://demo.test/agent/analyst",
    ]
    assert attributes(to_planner)[semconv.A2A_METHOD_NAME] == "SendStreamingMessage"
    assert semconv.MCP_METHOD_NAME not in attributes(to_planner)


async def test_no_span_holds_a_token_or_what_a_call_is_about(company: Company, agents) -> None:
    amount, whom = 918273645, "Quetzalcoatl"
    async with collecting(company) as collector:
        async with standing(company), agents():
            answer = await maria_asks(company, f"pay {amount} to {whom}", new_context()[2])
        await collector.all_of(company)
    assert answer.refusal is not None
    denied = collector.named("tools/call pay")
    assert attributes(denied)[semconv.HOPGATE_VERDICT] == "ask"
    assert attributes(denied)[semconv.ERROR_TYPE] == "approval_required"
    assert denied.status.code == ERROR
    told = "\n".join(str(span) for span in collector.spans)
    for secret in (str(amount), whom, "eyJ", "Bearer", "payroll"):
        assert secret not in told


async def test_argument_values_are_told_where_the_route_records_them(company: Company) -> None:
    company.settings["routes"]["mcp"]["ledger"]["record_arguments"] = True
    async with collecting(company) as collector:
        async with standing(company), mcp_client(company) as client:
            with pytest.raises(MCPError):
                await client.call_tool("pay", {"amount": 918273645, "to": "Builders"})
        await collector.all_of(company)
    matched = attributes(collector.named("tools/call pay"))[semconv.HOPGATE_MATCHED]
    assert "context.args.ledger.pay.amount=918273645" in matched
    [policy] = map(json.loads, attributes(collector.named("tools/call pay"))[semconv.HOPGATE_DETERMINING])
    assert policy["matched"]["context.args.ledger.pay.amount"] == 918273645


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_trace_that_is_only_in_the_message_is_continued(company: Company, mode: str) -> None:
    trace, caller, traceparent = new_context()
    async with collecting(company) as collector:
        async with standing(company) as ledger, mcp_client(company, mode=mode) as client:
            await client.call_tool("read_balance", {"account": "payroll"}, meta={"traceparent": traceparent})
        await collector.all_of(company)
    hop = collector.named("tools/call read_balance")
    assert (hop.trace_id.hex(), hop.parent_span_id.hex()) == (trace, caller)
    headers, meta = ledger.call()
    assert headers["traceparent"] == meta["traceparent"]
    assert meta["traceparent"] == f"00-{trace}-{collector.below(hop, 'upstream').span_id.hex()}-01"


async def test_a_hop_that_is_refused_before_its_decision_is_a_failed_span_of_the_trace(company: Company) -> None:
    trace, caller, traceparent = new_context()
    headers = {"Authorization": "Bearer not-a-token", "traceparent": traceparent}
    async with collecting(company) as collector:
        async with running(company), httpx.AsyncClient(verify=company.client("planner"), headers=headers) as http:
            refused = await http.post(f"{company.data_url}/mcp/ledger", json={})
        await collector.all_of(company)
    (span,) = collector.spans
    assert refused.status_code == 401
    assert (span.trace_id.hex(), parents([span])) == (trace, {caller})
    assert span.status.code == ERROR
    assert attributes(span)[semconv.ERROR_TYPE] == "token_malformed"
    assert "not-a-token" not in str(span)
