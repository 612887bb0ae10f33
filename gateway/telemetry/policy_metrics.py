"""Metrics of policies: labels are ids of policies in force or staged, so that no client makes a series."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.core.policy.staged_rules import Change
from gateway.core.policy.trial import Staged
from gateway.core.reasons import Reason
from gateway.telemetry import semconv

_OUTCOMES = ("same", "differs", "error")


class PolicyMetrics:
    """What staged policies would have changed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._staged = Gauge(semconv.METRIC_POLICIES_STAGED, "policies that are staged", registry=registry)
        self._tried = Counter(
            semconv.METRIC_STAGED_DECISIONS,
            "decisions that a staged policy was tried on, by what it would have changed",
            ["policy", "outcome"],
            registry=registry,
        )
        self._keys: dict[str, str] = {}

    def published(self, changes: Iterable[Change]) -> None:
        """These are staged from now on; what isn't any longer, or was edited, loses its series."""
        keys = {change.key: change.id for change in changes}
        self._staged.set(len(keys))
        for gone in self._keys.keys() - keys.keys():
            for outcome in _OUTCOMES:
                self._tried.remove(self._keys[gone], outcome)
        for new in keys.keys() - self._keys.keys():
            for outcome in _OUTCOMES:
                self._tried.labels(keys[new], outcome)
        self._keys = dict(keys)

    def tried(self, staged: Staged) -> None:
        """Drafts were tried on one decision; those that are no longer staged are passed over."""
        said = {opinion.draft: opinion for opinion in staged.differing}
        for key in staged.asked:
            if key in self._keys:
                opinion = said.get(key)
                failed = opinion is not None and opinion.reason is Reason.POLICY_ERROR
                outcome = "same" if opinion is None else "error" if failed else "differs"
                self._tried.labels(self._keys[key], outcome).inc()
