"""Prometheus metrics of one process, in a registry of its own.

Labels come from closed lists or from the policies in force, never from what a client sent, so that the
number of series is bounded. Deliberately holds no names of agents, users or tools: the record has those.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from time import perf_counter, time
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from gateway.core.model import PolicyId, ProtocolName
from gateway.core.policy.bundle import Cuts
from gateway.core.policy.memory import Memory
from gateway.core.reasons import Reason
from gateway.core.registry import LiveMode
from gateway.core.usage import KINDS, Kind, Measure
from gateway.telemetry import semconv
from gateway.telemetry.decisions import DecisionsCollector
from gateway.telemetry.kernel_metrics import KernelMetrics
from gateway.telemetry.policy_metrics import PolicyMetrics
from gateway.telemetry.webhook_metrics import WebhookMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Verdict = Literal["permit", "ask", "deny", "error"]
Stage = Literal["token", "parse", "chain", "decide", "mint", "audit", "upstream", "total"]

OTHER = "other"
_MOST_HANDSHAKE_REASONS = 40
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Every metric of the gateway. Times are in seconds."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._traffic()
        self._state()
        self.policies = PolicyMetrics(self._registry)
        self.kernel = KernelMetrics(self._registry)
        self.webhooks = WebhookMetrics(self._registry)
        ProcessCollector(registry=self._registry)
        build = Info(semconv.METRIC_BUILD, "version of the running gateway", registry=self._registry)
        build.info({"version": version})
        self._handshake_reasons: set[str] = set()
        self._policies: set[PolicyId] = set()
        self._last: dict[PolicyId, float] = {}

    def _traffic(self) -> None:
        registry = self._registry
        self._decisions = Counter(
            semconv.METRIC_DECISIONS, "hops decided", ["verdict", "reason", "protocol"], registry=registry
        )
        stages = Histogram(
            semconv.METRIC_STAGE_SECONDS, "time of a hop by stage", ["stage"], buckets=_BUCKETS, registry=registry
        )
        # Eight of these a hop: looking a label up costs more than counting.
        self._stages: Mapping[Stage, Histogram] = {stage: stages.labels(stage) for stage in get_args(Stage)}
        self._handshakes = Counter(
            semconv.METRIC_HANDSHAKES_REFUSED, "TLS handshakes refused", ["reason"], registry=registry
        )
        self._unrecorded = Counter(
            semconv.METRIC_REFUSED_UNRECORDED,
            "requests refused before a peer was verified, and so without a record",
            ["reason"],
            registry=registry,
        )
        self._upstream_errors = Counter(
            semconv.METRIC_UPSTREAM_ERRORS, "hops that failed at the upstream", ["reason"], registry=registry
        )
        self._streams = Gauge(semconv.METRIC_STREAMS, "streams open now", ["protocol"], registry=registry)
        self._tools_changed = Counter(
            semconv.METRIC_TOOLS_CHANGED, "tool definitions found that are not approved", registry=registry
        )
        self._minted = Counter(semconv.METRIC_TOKENS_MINTED, "hop tokens minted", registry=registry)
        self._reused = Counter(
            semconv.METRIC_TOKENS_REUSED, "hops whose hop token was signed for an earlier one", registry=registry
        )
        self._live_ancestry = Counter(
            semconv.METRIC_LIVE_ANCESTRY,
            "calls that an agent began while it worked in a chain",
            ["mode"],
            registry=registry,
        )
        self._alerts = Counter(
            semconv.METRIC_ALERTS, "refusals that an honest caller does not cause", ["reason"], registry=registry
        )
        self._limited = Counter(
            semconv.METRIC_LIMITED, "hops refused or ended for a quota", ["whose", "measure"], registry=registry
        )
        self._counted = Gauge(
            semconv.METRIC_COUNTED, "names that have counts of their own", ["whose"], registry=registry
        )
        self._token_requests = Counter(
            semconv.METRIC_TOKEN_REQUESTS, "requests to the token endpoint", ["reason"], registry=registry
        )

    def _state(self) -> None:
        registry = self._registry
        self._audit_records = Counter(semconv.METRIC_AUDIT_RECORDS, "records made durable", registry=registry)
        self._audit_commits = Histogram(
            semconv.METRIC_AUDIT_COMMIT_SECONDS, "time to make a group durable", buckets=_BUCKETS, registry=registry
        )
        self._audit_pending = Gauge(semconv.METRIC_AUDIT_PENDING, "records waiting to be durable", registry=registry)
        self._audit_failures = Counter(semconv.METRIC_AUDIT_FAILURES, "commits that failed", registry=registry)
        self._evaluated = Gauge(
            semconv.METRIC_POLICY_LAST_EVALUATED, "when the policy last decided a hop", ["policy"], registry=registry
        )
        self._generation = Gauge(semconv.METRIC_GENERATION, "generation of the snapshot in force", registry=registry)
        self._snapshot_failures = Counter(
            semconv.METRIC_SNAPSHOT_FAILURES, "configurations refused, the last good one staying", registry=registry
        )
        self._identity_expires = Gauge(
            semconv.METRIC_IDENTITY_EXPIRES, "end of the gateway's own SVID, 0 without one", registry=registry
        )
        self._identity_failures = Counter(
            semconv.METRIC_IDENTITY_FAILURES, "certificates that could not be renewed or used", registry=registry
        )

        self._bundle_fetched = Gauge(
            semconv.METRIC_BUNDLE_FETCHED,
            "when the trust bundle of a configured domain was had last",
            ["trust_domain"],
            registry=registry,
        )
        self._bundle_failures = Counter(
            semconv.METRIC_BUNDLE_FAILURES,
            "trust bundles that could not be had or used",
            ["trust_domain"],
            registry=registry,
        )
        self._revocations = Gauge(
            semconv.METRIC_REVOCATIONS, "revocations that this process enforces", registry=registry
        )
        self._revocation_epoch = Gauge(
            semconv.METRIC_REVOCATION_EPOCH, "last change of revocations that this process knows", registry=registry
        )
        self._revocation_failures = Counter(
            semconv.METRIC_REVOCATION_FAILURES, "times that the store could not say what is revoked", registry=registry
        )
        self._signing_age = Gauge(
            semconv.METRIC_SIGNING_KEY_AGE, "how long the current signing key signs", registry=registry
        )
        self._signing_changes = Gauge(
            semconv.METRIC_SIGNING_KEY_CHANGES,
            "when the next signing key is to sign, 0 unless scheduled",
            registry=registry,
        )
        self._signing_failures = Counter(
            semconv.METRIC_SIGNING_KEY_FAILURES, "looks at the stored signing keys that failed", registry=registry
        )

    def decided(self, verdict: Verdict, reason: Reason, protocol: ProtocolName) -> None:
        """A hop ended with a decision, or with an error in its place."""
        self._decisions.labels(verdict, reason.value, protocol).inc()

    def stage_took(self, stage: Stage, seconds: float) -> None:
        """One stage of a hop, or the ``total``, took ``seconds``."""
        self._stages[stage].observe(seconds)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Measures the block as one stage of a hop, however it ends."""
        began = perf_counter()
        try:
            yield
        finally:
            self.stage_took(stage, perf_counter() - began)

    def handshake_refused(self, reason: str) -> None:
        """A TLS handshake was refused; past 40 different reasons the rest count as ``other``."""
        if reason not in self._handshake_reasons:
            if len(self._handshake_reasons) >= _MOST_HANDSHAKE_REASONS:
                reason = OTHER
            self._handshake_reasons.add(reason)
        self._handshakes.labels(reason).inc()

    def refused_unrecorded(self, reason: Reason) -> None:
        """A request was refused before there was a verified peer to record."""
        self._unrecorded.labels(reason.value).inc()

    def upstream_failed(self, reason: Reason) -> None:
        """A permitted hop failed at its upstream."""
        self._upstream_errors.labels(reason.value).inc()

    def stream_opened(self, protocol: ProtocolName) -> None:
        """A stream began."""
        self._streams.labels(protocol).inc()

    def stream_closed(self, protocol: ProtocolName) -> None:
        """A stream ended."""
        self._streams.labels(protocol).dec()

    def minted(self, *, reused: bool = False) -> None:
        """A hop token was signed, or one that says the same was taken again."""
        (self._reused if reused else self._minted).inc()

    def live_ancestry(self, mode: LiveMode) -> None:
        """An agent began a chain, or called in one that it began, while it worked in another."""
        self._live_ancestry.labels(mode).inc()

    def limited(self, whose: Kind | Literal["peer"], measure: Measure) -> None:
        """A hop was refused, or a stream ended, since a quota of ``whose`` is used up."""
        self._limited.labels(whose, measure).inc()

    def watch_counts(self, sizes: Callable[[], Mapping[Kind, int]]) -> None:
        """Show how many names of each kind are counted, whenever it is asked."""
        for kind in KINDS:
            self._counted.labels(kind).set_function(partial(lambda whose: sizes()[whose], kind))

    def alerted(self, reason: Reason) -> None:
        """Somebody should look: a refusal that an attack causes, or a mistake that looks like one."""
        self._alerts.labels(reason.value).inc()

    def token_requested(self, reason: Reason) -> None:
        """The token endpoint answered: with a token (PERMITTED), or refused for ``reason``."""
        self._token_requests.labels(reason.value).inc()

    def tool_changed(self) -> None:
        """A server listed a definition of a tool that is not the approved one; the tool is in quarantine."""
        self._tools_changed.inc()

    def audit_committed(self, records: int, seconds: float) -> None:
        """A group of ``records`` became durable in ``seconds``."""
        self._audit_records.inc(records)
        self._audit_commits.observe(seconds)

    def audit_pending(self, records: Callable[[], int]) -> None:
        """``records`` says, whenever it is asked, how many wait to become durable."""
        self._audit_pending.set_function(records)

    def audit_failed(self) -> None:
        """A commit of the record failed."""
        self._audit_failures.inc()

    def bundle_fetched(self, trust_domain: str, at: float) -> None:
        """A usable bundle of a configured domain came in at ``at`` (Unix seconds)."""
        self._bundle_fetched.labels(trust_domain).set(at)

    def bundle_failed(self, trust_domain: str) -> None:
        """The bundle of a configured domain could not be had, or not used."""
        self._bundle_failures.labels(trust_domain).inc()

    def published(self, generation: int, policies: Iterable[PolicyId]) -> None:
        """A snapshot came into force. Policies that are no longer in it lose their series."""
        self._generation.set(generation)
        current = set(policies)
        for gone in self._policies - current:
            self._evaluated.remove(gone)
            self._last.pop(gone, None)
        for new in current - self._policies:
            self._evaluated.labels(new)
        self._policies = current

    def publish_refused(self) -> None:
        """A configuration was refused; the snapshot in force stays."""
        self._snapshot_failures.inc()

    def signing_key(self, since: int, changes_at: int) -> None:
        """The current key signs since Unix time ``since``, until ``changes_at``; 0 where nothing is scheduled."""
        self._signing_age.set_function(lambda: max(0.0, time() - since))
        self._signing_changes.set(changes_at)

    def signing_key_failed(self) -> None:
        """The stored signing keys could not be read, or not opened."""
        self._signing_failures.inc()

    def identity_expires(self, at: int) -> None:
        """The gateway's own SVID ends at Unix time ``at``; 0 where there is none."""
        self._identity_expires.set(at)

    def identity_failed(self) -> None:
        """A certificate could not be renewed or used."""
        self._identity_failures.inc()

    def revocations_known(self, in_force: int, epoch: int) -> None:
        """The process enforces ``in_force`` revocations, as of the change ``epoch``."""
        self._revocations.set(in_force)
        self._revocation_epoch.set(epoch)

    def revocations_failed(self) -> None:
        """The store could not say what is revoked."""
        self._revocation_failures.inc()

    def evaluated(self, policies: Iterable[PolicyId], at: float) -> None:
        """``policies`` determined a decision at Unix time ``at``; those of an older snapshot are passed over."""
        for policy in policies:
            # What the records say comes after a start, when there may be newer decisions already.
            if policy in self._policies and at >= self._last.get(policy, 0.0):
                self._evaluated.labels(policy).set(at)
                self._last[policy] = at

    def watch_decisions(self, memory: Memory, cuts: Callable[[], Cuts]) -> None:
        """Show what ``memory`` could answer, and the slices of the bundle in force, whenever it is asked."""
        self._registry.register(DecisionsCollector(memory, cuts))

    def render(self) -> bytes:
        """The exposition of all metrics, as ``CONTENT_TYPE``."""
        return generate_latest(self._registry)
