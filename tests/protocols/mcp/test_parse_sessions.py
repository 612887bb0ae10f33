"""What only sessions have: standing streams, resuming them, their end, and responses to what the server asked."""

import pytest

from gateway.core.model import Uid
from gateway.core.reasons import Reason
from gateway.protocols.base import HttpError, Incoming
from gateway.protocols.jsonrpc import dump_json
from gateway.protocols.mcp import is_standing, parse
from tests.protocols.mcp.test_parse import LIMITS, ROUTE, refused

STANDING = {"mcp-session-id": "sealed", "accept": "text/event-stream", "mcp-protocol-version": "2025-11-25"}


def test_a_session_has_a_standing_stream() -> None:
    call = parse(Incoming("GET", "", STANDING, {}, b""), ROUTE, LIMITS)
    assert (call.http_method, call.method, call.action, call.resource) == (
        "GET",
        "GET",
        "discover",
        Uid("McpServer", "ledger"),
    )
    assert (call.session, call.request_id, call.resuming, call.message) == ("sealed", None, None, {})
    assert is_standing(call)


def test_a_stream_is_resumed_after_an_event() -> None:
    call = parse(Incoming("GET", "", {**STANDING, "last-event-id": "seen"}, {}, b""), ROUTE, LIMITS)
    assert (call.method, call.resuming) == ("GET", "seen")


def test_a_standing_stream_is_one_of_events() -> None:
    error = refused(Incoming("GET", "", {**STANDING, "accept": "application/json"}, {}, b""))
    assert isinstance(error, HttpError)
    assert (error.reason, error.status) == (Reason.CONTENT_TYPE, 406)


@pytest.mark.parametrize("headers", [{}, {"mcp-session-id": "s", "mcp-protocol-version": "2026-07-28"}])
def test_only_a_session_can_be_ended(headers: dict[str, str]) -> None:
    assert refused(Incoming("DELETE", "", headers, {}, b"")).reason is Reason.HTTP_METHOD


RESPONSE = {"jsonrpc": "2.0", "id": "sealed", "result": {"action": "accept"}}


def responding(message: dict[str, object], **headers: str) -> Incoming:
    media = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    return Incoming("POST", "", {**media, **headers}, {}, dump_json(message))


def test_a_response_answers_the_server_within_a_session() -> None:
    call = parse(responding(RESPONSE, **{"mcp-session-id": "s"}), ROUTE, LIMITS)
    assert (call.method, call.action, call.answering, call.session) == ("response", "notify", "sealed", "s")
    assert (call.message, call.request_id) == (RESPONSE, None)
    assert refused(responding(RESPONSE)).reason is Reason.MESSAGE_INVALID, "there is no session"


@pytest.mark.parametrize(
    "wrong", [{"id": 1}, {"id": None}, {"jsonrpc": "1.0"}, {"error": {"code": 1, "message": "x"}}, {"extra": 1}]
)
def test_a_response_that_is_none(wrong: dict[str, object]) -> None:
    sent = responding({**RESPONSE, **wrong}, **{"mcp-session-id": "s"})
    assert refused(sent).reason is Reason.MESSAGE_INVALID
