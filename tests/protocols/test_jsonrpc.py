import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import ProtocolError, UpstreamError
from gateway.core.limits import Limits
from gateway.core.reasons import Reason
from gateway.protocols.jsonrpc import (
    dump_json,
    is_id,
    parse_answer,
    parse_json,
    read_answer,
    read_request,
    same_id,
)

LIMITS = Limits()
I64 = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.none() | st.booleans() | I64 | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def identical(one: object, other: object) -> bool:
    """Equality that also tells 1 from 1.0 and true, and 0.0 from -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(identical, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other


@given(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_what_any_reader_reads_is_what_is_sent_on(value: object, ascii_only: bool, indent: int | str | None) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8")
    sent = dump_json(parse_json(body, LIMITS))
    assert identical(json.loads(sent), json.loads(body))
    assert dump_json(parse_json(sent, LIMITS)) == sent


@given(
    st.binary(max_size=64)
    | st.text(alphabet='[]{}":,0123456789.eE+-\\unulltrefasNI \u2028\ud800é', max_size=40).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)
@example(b"\xef\xbb\xbf{}")
@example(b"[" * 100_000)
@example(b"1e999")
def test_any_bytes_are_a_value_or_a_protocol_error(body: bytes) -> None:
    try:
        value = parse_json(body, LIMITS)
    except ProtocolError as error:
        assert error.reason is Reason.BODY_MALFORMED
        assert error.code == -32700
    else:
        assert identical(json.loads(dump_json(value)), json.loads(body.decode()))


def test_a_line_of_json_has_no_line_break_for_any_reader() -> None:
    value = {"text": "a\x85b\u2028c\u2029d\x1c\x1d\x1e\v\f\r\n"}
    sent = dump_json(value)
    assert len(sent.decode().splitlines()) == 1
    assert json.loads(sent) == value


def test_depth_counts_containers() -> None:
    deep = Limits(json_depth=3)
    assert parse_json(b"[[[1]]]", deep) == [[[1]]]
    assert parse_json(b'{"a":[{"b":1}]}', deep) == {"a": [{"b": 1}]}
    for body in (b"[[[[]]]]", b'{"a":[{"b":{}}]}', b"[1,[2,[3,[4]]]]"):
        with pytest.raises(ProtocolError, match="deeper than 3"):
            parse_json(body, deep)


def test_integers_are_kept_exactly_up_to_64_bits() -> None:
    for number in (2**53 + 1, 2**63 - 1, -(2**63)):
        assert parse_json(str(number).encode(), LIMITS) == number
    for number in (2**63, -(2**63) - 1):
        with pytest.raises(ProtocolError, match="64 bits"):
            parse_json(str(number).encode(), LIMITS)


def test_the_error_never_quotes_the_body() -> None:
    for body in (b'{"secret":1,"secret":2}', b'{"a": secret}', b'"secret\\ud800"', b"secret"):
        with pytest.raises(ProtocolError) as caught:
            parse_json(body, LIMITS)
        assert "secret" not in str(caught.value)


def test_an_upstreams_bad_json_is_the_upstreams_error() -> None:
    with pytest.raises(UpstreamError) as caught:
        parse_answer(b'{"a":1,"a":2}', LIMITS)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


GOOD = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.mark.parametrize("request_id", [0, -1, 2**60, "", "a", "1"])
def test_a_request_has_a_string_or_integer_id(request_id: str | int) -> None:
    request = read_request({**GOOD, "id": request_id})
    assert same_id(request.id, request_id)


def test_a_message_without_id_is_a_notification() -> None:
    assert read_request({"jsonrpc": "2.0", "method": "notifications/initialized"}).id is None


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": True},
        {"id": 1.0},
        {"id": [1]},
        {"jsonrpc": "1.0"},
        {"jsonrpc": 2.0},
        {"method": ""},
        {"method": 1},
        {"method": None},
        {"params": []},
        {"params": None},
        {"params": "x"},
        {"result": {}},
        {"error": {"code": 1, "message": "x"}},
        {"extra": 1},
        {"Method": "tools/call"},
    ],
)
def test_anything_but_one_plain_request_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_request({**GOOD, **change})
    assert (caught.value.reason, caught.value.code) == (Reason.MESSAGE_INVALID, -32600)
    assert caught.value.request_id == (None if "id" in change else 1)


@pytest.mark.parametrize("value", ["ping", 1, None, True])
def test_a_body_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(ProtocolError, match="not an object"):
        read_request(value)


@given(VALUES)
def test_any_value_is_a_request_or_a_protocol_error(value: object) -> None:
    try:
        request = read_request(value)
    except ProtocolError as error:
        assert error.code == -32600
    else:
        assert request.message is value


def test_an_answer_is_the_result_of_its_own_request() -> None:
    assert read_answer({"jsonrpc": "2.0", "id": 7, "result": {}}, 7).result == {}
    error = {"code": -1, "message": "no"}
    assert read_answer({"jsonrpc": "2.0", "id": 7, "error": error}, 7).error == error
    assert read_answer({"jsonrpc": "2.0", "id": None, "error": error}, 7).error == error


@pytest.mark.parametrize(
    "value",
    [
        {"jsonrpc": "2.0", "id": "7", "result": {}},
        {"jsonrpc": "2.0", "id": 7.0, "result": {}},
        {"jsonrpc": "2.0", "id": 8, "result": {}},
        {"jsonrpc": "2.0", "id": None, "result": {}},
        {"jsonrpc": "2.0", "id": 8, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "id": 7},
        {"jsonrpc": "2.0", "id": 7, "result": {}, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "id": 7, "error": {"code": "1", "message": "x"}},
        {"jsonrpc": "2.0", "id": 7, "error": {"code": True, "message": "x"}},
        {"jsonrpc": "2.0", "id": 7, "error": {"code": 1}},
        {"jsonrpc": "2.0", "id": 7, "error": None},
        {"jsonrpc": "2.0", "id": 7, "method": "x", "result": {}},
        {"id": 7, "result": {}},
        [{"jsonrpc": "2.0", "id": 7, "result": {}}],
        "x",
    ],
)
def test_anything_but_the_response_is_the_upstreams_error(value: object) -> None:
    with pytest.raises(UpstreamError):
        read_answer(value, 7)


def test_one_is_not_true_is_not_one_point_zero() -> None:
    assert not same_id(1, True)
    assert not same_id(1, 1.0)
    assert not same_id(1, "1")
    assert not same_id(None, None)
    assert not is_id(True)
