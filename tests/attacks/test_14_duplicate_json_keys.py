"""Attack 14: one key twice. The gateway would decide on one value while the upstream acts on the other."""

import pytest

from gateway.core.errors import ProtocolError, UpstreamError
from gateway.core.limits import Limits
from gateway.core.model import Route
from gateway.core.reasons import Reason
from gateway.protocols import a2a, mcp
from gateway.protocols.base import Incoming
from gateway.protocols.jsonrpc import parse_answer

LEDGER = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
ANALYST = Route("a2a", "analyst", "/a2a/analyst", "https://gw.test/a2a/analyst", "https://analyst.test/")
HEADERS = {
    "content-type": "application/json", "accept": "*/*", "mcp-session-id": "s",
    "mcp-protocol-version": "2025-11-25", "a2a-version": "1.0",
}  # fmt: skip

MCP_BODIES = [
    b'{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"pay"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_balance","name":"pay"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_balance","n\\u0061me":"pay"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"amount":1,"amount":9}}}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"a":[{"b":1,"b":1}]}}}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"traceparent":"a","traceparent":"b"}}}',
    b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
]
A2A_BODIES = [
    b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"mine","id":"yours"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"taskId":"mine","taskId":"yours"}}}',
    b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"metadata":{"x":1,"x":2}}}}',
]


@pytest.mark.parametrize("body", MCP_BODIES)
def test_mcp(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        mcp.parse(Incoming("POST", "", HEADERS, {}, body), LEDGER, Limits())
    assert (caught.value.reason, caught.value.code) == (Reason.BODY_MALFORMED, -32700)


@pytest.mark.parametrize("body", A2A_BODIES)
def test_a2a(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        a2a.parse(Incoming("POST", "", HEADERS, {}, body), ANALYST, Limits())
    assert (caught.value.reason, caught.value.code) == (Reason.BODY_MALFORMED, -32700)


@pytest.mark.parametrize("params", [b'"Name":"pay"', b'"NAME":"pay"', b'"Arguments":{"amount":9}'])
def test_the_same_key_to_a_server_that_ignores_case(params: bytes) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_balance",' + params + b"}}"
    with pytest.raises(ProtocolError) as caught:
        mcp.parse(Incoming("POST", "", HEADERS, {}, body), LEDGER, Limits())
    assert caught.value.reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("spelling", [b'"task_id":"yours"', b'"TaskId":"yours"', b'"taskid":"yours"'])
def test_the_same_key_to_a_protobuf_reader(spelling: bytes) -> None:
    message = b'{"messageId":"m","taskId":"mine",' + spelling + b"}"
    body = b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":' + message + b"}}"
    with pytest.raises(ProtocolError) as caught:
        a2a.parse(Incoming("POST", "", HEADERS, {}, body), ANALYST, Limits())
    assert caught.value.reason is Reason.MESSAGE_INVALID


def test_an_upstreams_answer() -> None:
    with pytest.raises(UpstreamError):
        parse_answer(b'{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[]}}', Limits())
