"""Attack 15: several messages in one request, of which a gateway that looks at the first decides only that."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.errors import ProtocolError, UpstreamError
from gateway.core.limits import Limits
from gateway.core.model import Call, Route
from gateway.core.reasons import Reason
from gateway.protocols import a2a, mcp
from gateway.protocols.base import Incoming, refusal_of

Parse = Callable[[Incoming, Route, Limits], Call]

LEDGER = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
ANALYST = Route("a2a", "analyst", "/a2a/analyst", "https://gw.test/a2a/analyst", "https://analyst.test/")
HEADERS = {
    "content-type": "application/json", "accept": "*/*", "mcp-session-id": "s",
    "mcp-protocol-version": "2025-11-25", "a2a-version": "1.0",
}  # fmt: skip
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
PAY = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "pay"}}


@pytest.mark.parametrize("batch", [[], [PING], [PING, PAY], [[PAY]], [1]])
@pytest.mark.parametrize(("parse", "route"), [(mcp.parse, LEDGER), (a2a.parse, ANALYST)])
def test_a_batch_is_refused_whole(batch: list[Any], parse: Parse, route: Route) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(Incoming("POST", "", HEADERS, {}, json.dumps(batch).encode()), route, Limits())
    error = caught.value
    assert (error.reason, error.code, error.request_id) == (Reason.BATCH_REFUSED, -32600, None)
    for reply in (mcp.refuse(None, "legacy", refusal_of(error)), a2a.refuse(None, refusal_of(error))):
        assert (reply.status, json.loads(reply.body)["id"]) == (400, None)


@pytest.mark.parametrize("separator", [b"\n", b" ", b"", b",", b"\0"])
def test_two_messages_in_a_row_are_not_one(separator: bytes) -> None:
    body = json.dumps(PING).encode() + separator + json.dumps(PAY).encode()
    with pytest.raises(ProtocolError) as caught:
        mcp.parse(Incoming("POST", "", HEADERS, {}, body), LEDGER, Limits())
    assert caught.value.reason is Reason.BODY_MALFORMED


@pytest.mark.parametrize("extra", [{"result": {}}, {"error": {"code": 1, "message": "x"}}, {"batch": [PAY]}])
def test_a_message_that_is_two_things_is_none(extra: dict[str, Any]) -> None:
    incoming = Incoming("POST", "", HEADERS, {}, json.dumps({**PING, **extra}).encode())
    with pytest.raises(ProtocolError) as caught:
        mcp.parse(incoming, LEDGER, Limits())
    assert caught.value.reason is Reason.MESSAGE_INVALID


def test_an_upstreams_batch_is_not_an_answer() -> None:
    call = mcp.parse(Incoming("POST", "", HEADERS, {}, json.dumps(PAY).encode()), LEDGER, Limits())
    answer = {"jsonrpc": "2.0", "id": 2, "result": {}}
    assert isinstance(call, Call)
    with pytest.raises(UpstreamError):
        mcp.classify(call, [answer])
