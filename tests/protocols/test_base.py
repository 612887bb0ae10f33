import pytest

from gateway.core.errors import HopError, ProtocolError
from gateway.core.reasons import Reason
from gateway.protocols.base import HttpError, Refusal, accepts, check_media, refusal_of, trace_headers


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
def test_json_is_taken(content_type: str) -> None:
    check_media({"content-type": content_type})
    check_media({"content-type": content_type, "content-encoding": "identity"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/json, text/plain"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/json", "content-encoding": "identity, gzip"},
    ],
)
def test_any_other_media_or_coding_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_media(headers)
    assert caught.value.reason is Reason.CONTENT_TYPE


@pytest.mark.parametrize(
    ("accept", "both"),
    [
        ("application/json, text/event-stream", True),
        ("text/event-stream;q=0.9,APPLICATION/JSON", True),
        ("*/*", True),
        ("application/*, text/*", True),
        ("application/json", False),
        ("text/event-stream", False),
        ("", False),
    ],
)
def test_accept_names_every_kind(accept: str, both: bool) -> None:
    assert accepts({"accept": accept}, "application/json", "text/event-stream") is both


def test_a_refusal_keeps_what_its_error_knows() -> None:
    error = ProtocolError(Reason.VERSION_UNSUPPORTED, "no", code=-32022, data={"supported": []})
    assert refusal_of(error, "d1") == Refusal(
        reason=Reason.VERSION_UNSUPPORTED, detail="no", decision_id="d1", code=-32022, data={"supported": []}
    )
    http = HttpError(Reason.HTTP_METHOD, "no", status=405, allow="POST")
    assert (refusal_of(http).status, refusal_of(http).headers) == (405, (("Allow", "POST"),))
    assert refusal_of(HopError(Reason.NO_PERMIT)) == Refusal(reason=Reason.NO_PERMIT)


def test_only_trace_fields_become_trace_headers() -> None:
    assert trace_headers({"tracestate": "a=b", "traceparent": "00-…", "cookie": "x"}) == (
        ("traceparent", "00-…"),
        ("tracestate", "a=b"),
    )
