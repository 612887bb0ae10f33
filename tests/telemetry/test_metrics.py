import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.model import PolicyId
from gateway.core.reasons import Reason
from gateway.telemetry.metrics import Metrics


@pytest.fixture
def metrics():
    return Metrics("1.2.3")


def samples(metrics, name):
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def value(metrics, name, **labels):
    return samples(metrics, name)[tuple(sorted(labels.items()))]


def test_decisions_are_counted_by_verdict_reason_and_protocol(metrics):
    metrics.decided("permit", Reason.PERMITTED, "mcp")
    metrics.decided("permit", Reason.PERMITTED, "mcp")
    metrics.decided("deny", Reason.NO_PERMIT, "a2a")
    name = "hopgate_decisions_total"
    assert value(metrics, name, verdict="permit", reason="permitted", protocol="mcp") == 2
    assert value(metrics, name, verdict="deny", reason="no_permit", protocol="a2a") == 1


def test_stages_are_histograms_in_seconds(metrics):
    metrics.stage_took("decide", 0.0007)
    assert value(metrics, "hopgate_stage_seconds_bucket", stage="decide", le="0.001") == 1
    assert value(metrics, "hopgate_stage_seconds_bucket", stage="decide", le="0.0005") == 0


def test_handshake_reasons_are_bounded(metrics):
    for number in range(500):
        metrics.handshake_refused(f"reason-{number}")
    counted = samples(metrics, "hopgate_handshakes_refused_total")
    assert len(counted) == 41
    assert sum(counted.values()) == 500
    metrics.handshake_refused("reason-3")
    assert value(metrics, "hopgate_handshakes_refused_total", reason="reason-3") == 2


def test_streams_go_up_and_down(metrics):
    metrics.stream_opened("mcp")
    metrics.stream_opened("mcp")
    metrics.stream_closed("mcp")
    assert value(metrics, "hopgate_streams_open", protocol="mcp") == 1


def test_policies_that_leave_the_snapshot_lose_their_series(metrics):
    metrics.published(7, [PolicyId("a"), PolicyId("b")])
    metrics.evaluated([PolicyId("a"), PolicyId("unknown")], 1000.5)
    name = "hopgate_policy_last_evaluated_timestamp_seconds"
    assert samples(metrics, name) == {(("policy", "a"),): 1000.5, (("policy", "b"),): 0}
    metrics.published(8, [PolicyId("b"), PolicyId("c")])
    assert samples(metrics, name) == {(("policy", "b"),): 0, (("policy", "c"),): 0}
    assert value(metrics, "hopgate_snapshot_generation") == 8


def test_a_policy_that_stays_keeps_its_time(metrics):
    metrics.published(1, [PolicyId("a")])
    metrics.evaluated([PolicyId("a")], 5)
    metrics.published(2, [PolicyId("a")])
    assert value(metrics, "hopgate_policy_last_evaluated_timestamp_seconds", policy="a") == 5


def test_audit_tokens_and_failures(metrics):
    metrics.audit_committed(64, 0.002)
    metrics.audit_pending(lambda: 3)
    metrics.audit_failed()
    metrics.minted()
    metrics.upstream_failed(Reason.UPSTREAM_TIMEOUT)
    metrics.refused_unrecorded(Reason.ROUTE_UNKNOWN)
    metrics.publish_refused()
    metrics.identity_expires(1700000000)
    metrics.identity_failed()
    assert value(metrics, "hopgate_audit_records_total") == 64
    assert value(metrics, "hopgate_audit_commit_seconds_count") == 1
    assert value(metrics, "hopgate_audit_pending_records") == 3
    assert value(metrics, "hopgate_audit_failures_total") == 1
    assert value(metrics, "hopgate_tokens_minted_total") == 1
    assert value(metrics, "hopgate_upstream_errors_total", reason="upstream_timeout") == 1
    assert value(metrics, "hopgate_refused_unrecorded_total", reason="route_unknown") == 1
    assert value(metrics, "hopgate_snapshot_failures_total") == 1
    assert value(metrics, "hopgate_identity_expires_timestamp_seconds") == 1700000000
    assert value(metrics, "hopgate_identity_failures_total") == 1
    assert value(metrics, "hopgate_build_info", version="1.2.3") == 1


def test_two_gateways_in_one_process_count_apart(metrics):
    other = Metrics("1.2.3")
    metrics.minted()
    assert value(other, "hopgate_tokens_minted_total") == 0
