"""Metrics of the kernel half. Labels are the configured nodes and closed lists, so that no loader makes a series."""

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.core.kernel.standing import Drift, DriftKind, LoaderStatus, Wanted
from gateway.telemetry import semconv

Pushed = Literal["acknowledged", "refused", "failed"]
EventKind = Literal["denied", "would_deny", "shadow", "other", "unreadable"]


class KernelMetrics:
    """How it stands with the loaders."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._generation = Gauge(
            semconv.METRIC_KERNEL_GENERATION,
            "generation of kernel rules that a node should enforce, and that its loader has",
            ["node", "whose"],
            registry=registry,
        )
        self._drift = Gauge(
            semconv.METRIC_KERNEL_DRIFT,
            "in how many ways of a kind a node does not enforce what it should",
            ["node", "kind"],
            registry=registry,
        )
        self._pushes = Counter(
            semconv.METRIC_KERNEL_PUSHES,
            "kernel rules sent, by what came of it",
            ["node", "outcome"],
            registry=registry,
        )
        self._events = Counter(
            semconv.METRIC_KERNEL_EVENTS, "events of kernel loaders, recorded", ["node", "verdict"], registry=registry
        )
        self._left_out = Counter(
            semconv.METRIC_KERNEL_EVENTS_LEFT_OUT,
            "events of kernel loaders that are only counted, or were lost",
            ["node"],
            registry=registry,
        )

        self._shadows = Gauge(
            semconv.METRIC_KERNEL_SHADOWS,
            "cgroups of agents with processes that nobody registered",
            ["node", "quarantined"],
            registry=registry,
        )

    def pushed(self, node: str, outcome: Pushed) -> None:
        """Rules were sent to a node's loader."""
        self._pushes.labels(node, outcome).inc()

    def stands(self, node: str, wanted: Wanted | None, status: LoaderStatus | None, drift: Iterable[Drift]) -> None:
        """How a node stands now."""
        self._generation.labels(node, "wanted").set(wanted.generation if wanted else 0)
        self._generation.labels(node, "loader").set(status.generation if status else 0)
        self._shadows.labels(node, "true").set(status.shadows_quarantined if status else 0)
        self._shadows.labels(node, "false").set(status.shadows_at_large if status else 0)
        kinds = [each.kind for each in drift]
        for kind in get_args(DriftKind):
            self._drift.labels(node, kind).set(kinds.count(kind))

    def event(self, node: str, verdict: EventKind) -> None:
        """An event was recorded."""
        self._events.labels(node, verdict).inc()

    def left_out(self, node: str, count: int) -> None:
        """So many events have no record of their own."""
        self._left_out.labels(node).inc(count)
