"""Metrics of remembered decisions and of slices, read off the parts themselves when they are asked for."""

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.core.policy.bundle import Cuts
from gateway.core.policy.memory import Memory
from gateway.telemetry import semconv


class DecisionsCollector(Collector):
    """Counts no call itself: the memory does."""

    def __init__(self, memory: Memory, cuts: Callable[[], Cuts]) -> None:
        self._memory = memory
        self._cuts = cuts

    def collect(self) -> Iterable[Metric]:
        """The families, as Prometheus asks for them."""
        memory, sizes = self._memory, self._cuts().enforced.sizes()
        asked = CounterMetricFamily(
            semconv.METRIC_DECISION_MEMORY, "questions to Cedar, by how they were answered", labels=["answer"]
        )
        for answer, count in (("hit", memory.hits), ("miss", memory.misses), ("unkept", memory.unkept)):
            asked.add_metric([answer], count)
        yield asked
        yield GaugeMetricFamily(semconv.METRIC_DECISION_MEMORY_SIZE, "answers kept now", value=len(memory))
        yield GaugeMetricFamily(semconv.METRIC_POLICY_SLICES, "sets of policies that calls fell to", value=len(sizes))
        largest = max(sizes, default=0)
        yield GaugeMetricFamily(semconv.METRIC_POLICY_SLICE_LARGEST, "policies in the largest of them", value=largest)
