"""Spans of a hop, by OpenTelemetry: one server span, children for its stages, W3C context in and out.

Works the same with and without an exporter: ids are made and passed on either way. There is no global
provider; exceptions are recorded by type alone, since a message may quote what a client sent. A trace
id is for reading: nothing here or elsewhere authorizes by it. Baggage is neither read nor passed on.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.core.reasons import Reason
from gateway.protocols import tracestate
from gateway.telemetry import semconv

AttributeValue = str | bool | int | float | Sequence[str]

_PROPAGATOR = TraceContextTextMapPropagator()
_FIELDS = ("traceparent", "tracestate")
_ATTRIBUTE_CHARACTERS = 1024
_ATTRIBUTES = 64
_EXPORT_SECONDS = 3.0


class _BoundedExport(BatchSpanProcessor):
    """Batched export whose end doesn't wait for every retry of every batch when the collector is gone."""

    def __init__(self, exporter: OTLPSpanExporter) -> None:
        super().__init__(exporter)
        self._exporter = exporter

    def shutdown(self) -> None:
        cut = threading.Timer(_EXPORT_SECONDS, self._exporter.shutdown)
        cut.start()
        try:
            super().shutdown()  # type: ignore[no-untyped-call]
        finally:
            cut.cancel()


def new_provider(
    *,
    version: str,
    instance: str,
    sample_ratio: float,
    endpoint: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> TracerProvider:
    """A provider that exports to ``<endpoint>/v1/traces`` in batches from a thread of its own, or nowhere.

    ``sample_ratio`` counts for chains that begin here; a caller's own sampling decision is kept.
    ``headers`` hold secrets and stay inside the exporter.
    """
    resource = Resource(
        {
            semconv.SERVICE_NAME: "hopgate",
            semconv.SERVICE_VERSION: version,
            semconv.SERVICE_INSTANCE_ID: instance,
        }
    )
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        resource=resource,
        span_limits=SpanLimits(max_span_attributes=_ATTRIBUTES, max_span_attribute_length=_ATTRIBUTE_CHARACTERS),
        shutdown_on_exit=False,
    )
    if endpoint is not None:
        url = f"{endpoint.rstrip('/')}/v1/traces"
        exporter = OTLPSpanExporter(endpoint=url, headers=dict(headers or {}), timeout=_EXPORT_SECONDS)
        provider.add_span_processor(_BoundedExport(exporter))
    return provider


class HopSpan:
    """An open span. Ends when its context manager does."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return format_trace_id(self._span.get_span_context().trace_id)

    @property
    def recording(self) -> bool:
        """Whether anybody will see what is set; false for a trace that isn't sampled."""
        return self._span.is_recording()

    def rename(self, name: str) -> None:
        """Name the span anew, once the message is known."""
        self._span.update_name(name)

    def set(self, attributes: Mapping[str, AttributeValue | None]) -> None:
        """Set the attributes that have a value."""
        if not self.recording:
            return
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name, value if isinstance(value, str | bool | int | float) else tuple(value))

    def fail(self, reason: Reason) -> None:
        """Mark the span as failed for ``reason``."""
        self._span.set_attribute(semconv.ERROR_TYPE, reason.value)
        self._span.set_status(Status(StatusCode.ERROR))

    def traceparent(self) -> dict[str, str]:
        """``traceparent``, and ``tracestate`` where there is one, for the next hop (W3C Trace Context)."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, context=set_span_in_context(self._span, Context()))
        return carrier

    @contextmanager
    def child(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue | None] | None = None,
    ) -> Iterator["HopSpan"]:
        """A span below this one, for as long as the context lasts; this one itself where nothing is recorded."""
        if not self.recording:
            yield self
            return
        with _open(self._tracer, name, kind, set_span_in_context(self._span, Context()), None) as span:
            span.set(attributes or {})
            yield span


class Tracing:
    """Opens the spans of hops on one provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("hopgate")

    @contextmanager
    def hop_span(
        self,
        name: str,
        headers: Mapping[str, str],
        attributes: Mapping[str, AttributeValue | None] | None = None,
        *,
        message: Mapping[str, object] | None = None,
        started_ns: int | None = None,
    ) -> Iterator[HopSpan]:
        """The server span of one hop.

        It continues the trace of ``headers`` (lower-case names), or else that of ``message``, the ``_meta``
        of an MCP message; invalid context is ignored. ``started_ns``, Unix nanoseconds, is for spans opened
        after the message was read.
        """
        parent = remote_context(headers, message or {})
        with _open(self._tracer, name, SpanKind.SERVER, parent, started_ns) as span:
            span.set(attributes or {})
            yield span

    def close(self) -> None:
        """Export what is left and stop. Blocks for up to 6 s if the collector doesn't answer: call it in a thread."""
        self._provider.shutdown()


def remote_context(headers: Mapping[str, str], message: Mapping[str, object]) -> Context:
    """The first valid W3C context of ``headers`` and ``message``, or an empty one, which begins a new trace."""
    for source in (headers, message):
        carrier = {name: value for name in _FIELDS if isinstance(value := source.get(name), str)}
        # A handle is the caller's secret: spans are exported with their trace state.
        carrier["tracestate"] = tracestate.stripped(carrier.get("tracestate", ""))
        context = _PROPAGATOR.extract(carrier, context=Context())
        if get_current_span(context) is not INVALID_SPAN:
            return context
    return Context()


@contextmanager
def _open(tracer: Tracer, name: str, kind: SpanKind, parent: Context, started_ns: int | None) -> Iterator[HopSpan]:
    span = tracer.start_span(name, context=parent, kind=kind, start_time=started_ns)
    try:
        yield HopSpan(tracer, span)
    except BaseException as error:
        span.set_attribute(semconv.ERROR_TYPE, type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        span.end()
