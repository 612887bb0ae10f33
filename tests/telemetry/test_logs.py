import io
import json
import logging

import pytest

from gateway.telemetry.logs import RefusalLog, StandardLogs, for_hop, new_logger

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtYXJpYSJ9.c2lnbmF0dXJl"


@pytest.fixture
def stream():
    return io.StringIO()


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_level_and_time(stream):
    new_logger("info", stream).info("listening", port=8443)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["port"]) == ("listening", "info", 8443)
    assert line["timestamp"].endswith("Z")


def test_lower_levels_are_left_out(stream):
    logger = new_logger("warning", stream)
    logger.info("quiet")
    logger.error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_the_ids_of_a_hop_are_in_its_lines_only(stream):
    logger = new_logger("info", stream)
    for_hop(logger, trace_id="t" * 32, decision_id="d1").info("decided")
    logger.info("other")
    decided, other = lines(stream)
    assert (decided["trace_id"], decided["decision_id"]) == ("t" * 32, "d1")
    assert "trace_id" not in other


def test_secrets_are_hidden_in_events_fields_and_exceptions(stream):
    logger = new_logger("info", stream)
    try:
        raise ValueError(f"can't parse {TOKEN}")
    except ValueError:
        logger.exception(f"failed with Bearer {TOKEN}", authorization="abc", detail=TOKEN, headers={"cookie": "c=1"})
    (line,) = lines(stream)
    assert "ValueError" in line["exception"]
    assert "eyJ" not in stream.getvalue()
    assert "abc" not in stream.getvalue()
    assert "c=1" not in stream.getvalue()


def test_a_line_break_in_a_value_makes_no_second_line(stream):
    new_logger("info", stream).info('x\n{"event": "forged"}', source="a\r\nb")
    assert len(lines(stream)) == 1


def test_two_loggers_share_nothing(stream):
    other = io.StringIO()
    first, second = new_logger("error", stream), new_logger("debug", other)
    second.debug("second")
    first.debug("first")
    assert stream.getvalue() == ""
    assert len(lines(other)) == 1


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_refusals_are_limited_for_each_kind_and_say_what_was_left_out(stream):
    clock = Clock()
    refusals = RefusalLog(new_logger("info", stream), clock, per_interval=2, interval_seconds=60)
    for _ in range(10):
        refusals.refused("no_certificate", source="10.0.0.1")
    refusals.refused("expired", source="10.0.0.2", detail="leaf")
    assert [line["reason"] for line in lines(stream)] == ["no_certificate", "no_certificate", "expired"]
    clock.now = 61
    refusals.refused("no_certificate", source="10.0.0.3")
    assert lines(stream)[-1]["left_out"] == 8
    clock.now = 122
    refusals.refused("no_certificate", source="10.0.0.3")
    assert "left_out" not in lines(stream)[-1]


def test_endless_kinds_of_refusals_stay_bounded(stream):
    refusals = RefusalLog(new_logger("info", stream), Clock(), per_interval=1)
    for number in range(1000):
        refusals.refused(f"kind-{number}", source="10.0.0.1")
    assert len(lines(stream)) == 257


def test_what_libraries_log_is_json_and_redacted_too(stream):
    library = logging.getLogger("some.library.of.a.test")
    library.propagate = False
    handler = StandardLogs(new_logger("info", stream))
    library.addHandler(handler)
    try:
        library.warning("refused token %s", TOKEN)
        library.debug("quiet")
        library.warning("bad format %d", "x")
    finally:
        library.removeHandler(handler)
    first, second = lines(stream)
    assert first["logger"] == "some.library.of.a.test"
    assert first["event"] == "refused token [redacted]"
    assert second["event"] == "bad format %d"
