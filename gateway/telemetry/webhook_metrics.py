"""Metrics of webhooks that tell of approvals: labels are names of configured targets."""

from collections.abc import Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.telemetry import semconv

Ending = Literal["delivered", "retried", "dead", "dropped"]


class WebhookMetrics:
    """Attempts by their ending, and how many letters there are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            semconv.METRIC_WEBHOOK_ATTEMPTS,
            "attempts to tell a webhook of an approval",
            ["target", "ending"],
            registry=registry,
        )
        self._letters = Gauge(semconv.METRIC_WEBHOOK_LETTERS, "letters of the outbox", ["standing"], registry=registry)

    def attempted(self, target: str, ending: Ending) -> None:
        """One attempt has ended."""
        self._attempts.labels(target, ending).inc()

    def counted(self, counts: Mapping[Literal["waiting", "delivered", "dead"], int]) -> None:
        """So many letters there are."""
        for standing in ("waiting", "delivered", "dead"):
            self._letters.labels(standing).set(counts.get(standing, 0))
