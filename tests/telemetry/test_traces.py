import asyncio
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from gateway.core.reasons import Reason
from gateway.telemetry import semconv
from gateway.telemetry.traces import Tracing, new_provider
from tests.ports import free_port

HEADER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
META = "00-11111111111111111111111111111111-2222222222222222-01"
HEADER_TRACE, META_TRACE = HEADER.split("-")[1], META.split("-")[1]


def tracing(sample_ratio=1.0):
    return Tracing(new_provider(version="1", instance="i", sample_ratio=sample_ratio))


@pytest.fixture
def exported():
    provider = new_provider(version="1", instance="i", sample_ratio=1.0)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider), exporter


def test_without_exporter_or_parent_a_new_trace_is_begun_and_passed_on():
    with tracing().hop_span("hop", {}) as span:
        carrier = span.traceparent()
    assert re.fullmatch(rf"00-{span.trace_id}-[0-9a-f]{{16}}-0[13]", carrier["traceparent"])
    assert span.trace_id != "0" * 32


@pytest.mark.parametrize(
    ("headers", "message", "trace"),
    [
        ({"traceparent": HEADER}, {}, HEADER_TRACE),
        ({}, {"traceparent": META}, META_TRACE),
        ({"traceparent": HEADER}, {"traceparent": META}, HEADER_TRACE),
        ({"traceparent": "junk"}, {"traceparent": META}, META_TRACE),
        ({"traceparent": "00-" + "0" * 32 + "-00f067aa0ba902b7-01"}, {"traceparent": META}, META_TRACE),
        ({"traceparent": HEADER}, {"traceparent": 7}, HEADER_TRACE),
    ],
)
def test_the_header_wins_over_the_message_if_it_is_valid(headers, message, trace):
    with tracing().hop_span("hop", headers, message=message) as span:
        assert span.trace_id == trace
        assert span.traceparent()["traceparent"].split("-")[1] == trace


@pytest.mark.parametrize("bad", [7, None, {}, "", "ff-" + HEADER[3:], HEADER.upper(), HEADER + "-x", "a" * 10_000])
def test_invalid_context_begins_a_new_trace(bad):
    with tracing().hop_span("hop", {}, message={"traceparent": bad}) as span:
        assert span.trace_id != HEADER_TRACE


@given(st.text(), st.text())
def test_any_context_is_taken_or_ignored(traceparent, tracestate):
    with tracing().hop_span("hop", {"traceparent": traceparent, "tracestate": tracestate}) as span:
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", span.traceparent()["traceparent"])


def test_tracestate_goes_along_with_its_parent_only():
    with tracing().hop_span("hop", {"traceparent": HEADER, "tracestate": "vendor=1"}) as span:
        assert span.traceparent()["tracestate"] == "vendor=1"
    with tracing().hop_span("hop", {"tracestate": "vendor=1"}) as span:
        assert "tracestate" not in span.traceparent()


@pytest.mark.parametrize(
    ("ratio", "headers", "sampled"),
    [
        (1.0, {"traceparent": HEADER[:-2] + "00"}, False),
        (0.0, {"traceparent": HEADER}, True),
        (0.0, {}, False),
        (1.0, {}, True),
    ],
)
def test_a_callers_sampling_decision_is_kept(ratio, headers, sampled):
    with tracing(ratio).hop_span("hop", headers) as span:
        assert int(span.traceparent()["traceparent"][-2:], 16) & 1 == sampled


def test_spans_do_not_leak_into_each_other(exported):
    subject, exporter = exported
    with subject.hop_span("first", {}) as first, subject.hop_span("second", {}) as second:
        assert first.trace_id != second.trace_id
    assert all(span.parent is None for span in exporter.get_finished_spans())


def test_children_names_kinds_and_attributes(exported):
    subject, exporter = exported
    with subject.hop_span("hop", {"traceparent": HEADER}, {semconv.HOPGATE_ROUTE: "/mcp/ledger"}) as hop:
        hop.rename(semconv.hop_span_name("tools/call", "read_balance"))
        hop.set({semconv.HOPGATE_POLICY_IDS: ["b", "a"], semconv.HOPGATE_DEPTH: 2, semconv.HOPGATE_AGENT: None})
        with hop.child(semconv.SPAN_AUTHORIZE) as authorize:
            assert authorize.trace_id == hop.trace_id
        with hop.child(semconv.SPAN_UPSTREAM, SpanKind.CLIENT, {semconv.SERVER_ADDRESS: "ledger"}) as upstream:
            upstream.fail(Reason.UPSTREAM_TIMEOUT)
            passed_on = upstream.traceparent()["traceparent"]
    authorize, upstream, hop = exporter.get_finished_spans()
    assert hop.name == "tools/call read_balance"
    assert hop.kind is SpanKind.SERVER
    assert hop.attributes == {
        "hopgate.route": "/mcp/ledger",
        "hopgate.policy.ids": ("b", "a"),
        "hopgate.chain.depth": 2,
    }
    assert (authorize.kind, upstream.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    assert authorize.parent.span_id == upstream.parent.span_id == hop.context.span_id
    assert passed_on.split("-")[2] == f"{upstream.context.span_id:016x}"
    assert upstream.status.status_code is StatusCode.ERROR
    assert upstream.attributes["error.type"] == "upstream_timeout"


def test_an_exception_is_recorded_by_type_alone_and_goes_on(exported):
    subject, exporter = exported
    with pytest.raises(ValueError, match="Bearer"), subject.hop_span("hop", {}):
        raise ValueError("Bearer abc")
    (span,) = exporter.get_finished_spans()
    assert span.attributes["error.type"] == "ValueError"
    assert "abc" not in span.to_json()


def test_a_cancelled_hop_ends_its_span(exported):
    subject, exporter = exported
    with pytest.raises(asyncio.CancelledError), subject.hop_span("hop", {}):
        raise asyncio.CancelledError
    assert len(exporter.get_finished_spans()) == 1


def test_long_attributes_are_cut(exported):
    subject, exporter = exported
    with subject.hop_span("hop", {}, {semconv.HOPGATE_MATCHED: "x" * 5000}):
        pass
    assert len(exporter.get_finished_spans()[0].attributes["hopgate.policy.matched"]) == 1024


def test_a_span_may_begin_before_it_is_opened(exported):
    subject, exporter = exported
    with subject.hop_span("hop", {}, started_ns=1_000):
        pass
    assert exporter.get_finished_spans()[0].start_time == 1_000


async def test_a_hop_arrives_at_an_otlp_collector():
    port = free_port()
    settings = OtelTapHttpProtobufReceiverSettings(http_port=port)
    async with OtelTapHttpProtobufReceiver(settings) as collector, asyncio.TaskGroup() as tasks:
        arrived = tasks.create_task(collector.await_trace(lambda span: span.name == "hop", 10))
        await asyncio.sleep(0)
        provider = new_provider(version="1", instance="i", sample_ratio=1.0, endpoint=f"http://127.0.0.1:{port}/")
        subject = Tracing(provider)
        with subject.hop_span("hop", {"traceparent": HEADER}, {semconv.HOPGATE_TXN: "t1"}) as span:
            span.fail(Reason.NO_PERMIT)
        await asyncio.to_thread(subject.close)
    received = arrived.result()
    assert received.kind == SpanMessage.SPAN_KIND_SERVER
    assert received.trace_id.hex() == HEADER_TRACE
    assert received.parent_span_id.hex() == HEADER.split("-")[2]
    assert received.status.code == Status.STATUS_CODE_ERROR
    assert {each.key: each.value.string_value for each in received.attributes} == {
        "hopgate.chain.txn": "t1",
        "error.type": "no_permit",
    }


def test_closing_does_not_wait_long_for_a_dead_collector():
    subject = Tracing(
        new_provider(version="1", instance="i", sample_ratio=1.0, endpoint=f"http://127.0.0.1:{free_port()}")
    )
    for _ in range(2000):
        with subject.hop_span("hop", {}):
            pass
    began = time.monotonic()
    subject.close()
    assert time.monotonic() - began < 8


def test_a_trace_that_is_not_sampled_is_passed_on_without_spans_of_its_stages():
    with tracing(0.0).hop_span("hop", {}) as hop, hop.child(semconv.SPAN_UPSTREAM) as upstream:
        assert not hop.recording
        hop.set({semconv.HOPGATE_TXN: "t1"})
        assert upstream.traceparent() == hop.traceparent()
    with tracing(1.0).hop_span("hop", {}) as hop, hop.child(semconv.SPAN_UPSTREAM) as upstream:
        assert hop.recording
        assert upstream.traceparent() != hop.traceparent()


def test_a_handle_is_neither_exported_nor_passed_on(exported):
    subject, exporter = exported
    state = "vendor=1,hopgate=0123456789abcdef0123456789abcdef,other=2"
    for headers, message in (
        ({"traceparent": HEADER, "tracestate": state}, {}),
        ({}, {"traceparent": META, "tracestate": state}),
    ):
        with subject.hop_span("hop", headers, message=message) as hop, hop.child("upstream") as child:
            assert child.traceparent()["tracestate"] == "vendor=1,other=2"
    for span in exporter.get_finished_spans():
        assert span.context.trace_state.to_header() == "vendor=1,other=2"
        assert span.parent.trace_state.to_header() == "vendor=1,other=2"
    with subject.hop_span("hop", {"traceparent": HEADER, "tracestate": "hopgate=x"}) as hop:
        assert "tracestate" not in hop.traceparent()
