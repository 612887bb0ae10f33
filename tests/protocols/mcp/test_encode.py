import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import jsonrpc_message_adapter

from gateway.core.limits import Limits
from gateway.core.model import Route
from gateway.protocols.base import Inbound, Incoming
from gateway.protocols.jsonrpc import dump_json
from gateway.protocols.mcp import answer_inbound, encode, parse

ROUTE = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
LIMITS = Limits()
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "v=1"}


def test_a_modern_call(modern) -> None:
    sent = modern(
        "tools/call",
        {"name": "pay", "arguments": {"amount": 1.0}},
        headers={"cookie": "x", "authorization": "Bearer x"},
    )
    out = encode(parse(sent, ROUTE, LIMITS), session="ignored", trace={})
    assert (out.http_method, out.rest) == ("POST", "")
    assert dict(out.headers) == {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "pay",
    }
    assert out.body == dump_json(json.loads(sent.body))


def test_a_legacy_call(legacy) -> None:
    call = parse(legacy("tools/call", {"name": "pay"}), ROUTE, LIMITS)
    headers = dict(encode(call, session="upstream-1", trace={}).headers)
    assert (headers["MCP-Protocol-Version"], headers["Mcp-Session-Id"]) == ("2025-11-25", "upstream-1")
    assert "Mcp-Method" not in headers
    assert "Mcp-Session-Id" not in dict(encode(call, session=None, trace={}).headers)


def test_an_initialize_names_neither_version_nor_session(legacy) -> None:
    call = parse(legacy("initialize", {"protocolVersion": "2025-11-25"}), ROUTE, LIMITS)
    assert dict(encode(call, session="old", trace={}).headers).keys() == {"Content-Type", "Accept"}


def test_the_trace_is_the_gateways_own(modern, legacy) -> None:
    meta = {"traceparent": "00-theirs", "tracestate": "theirs", "baggage": "theirs", "progressToken": 7}
    call = parse(legacy("tools/call", {"name": "pay", "_meta": meta}), ROUTE, LIMITS)
    out = encode(call, session=None, trace={**TRACE, "cookie": "x"})
    assert json.loads(out.body)["params"]["_meta"] == {"progressToken": 7, **TRACE}
    assert {k: v for k, v in out.headers if k.startswith("trace")} == TRACE
    assert b"theirs" not in encode(call, session=None, trace={}).body
    assert call.message["params"]["_meta"] == meta


def test_a_request_without_params_gets_a_trace_too(legacy) -> None:
    out = encode(parse(legacy("ping"), ROUTE, LIMITS), session=None, trace=TRACE)
    assert json.loads(out.body)["params"] == {"_meta": TRACE}
    assert jsonrpc_message_adapter.validate_json(out.body)


@pytest.mark.parametrize(
    ("method", "action", "answer"),
    [("ping", "", None), ("elicitation/create", "elicit", 1403), ("tools/list", "", -32601)],
)
def test_what_the_gateway_answers_a_server_itself(legacy, method: str, action: str, answer: int | None) -> None:
    call = parse(legacy("tools/call", {"name": "pay"}), ROUTE, LIMITS)
    out = answer_inbound(call, Inbound(9, method, {}, action), session="upstream-1")
    body = json.loads(out.body)
    assert (body["id"], body.get("error", {}).get("code")) == (9, answer)
    assert jsonrpc_message_adapter.validate_json(out.body)
    assert dict(out.headers)["Mcp-Session-Id"] == "upstream-1"


def test_the_end_of_a_session_has_no_body() -> None:
    sent = Incoming("DELETE", "", {"mcp-session-id": "sealed", "mcp-protocol-version": "2025-11-25"}, {}, b"")
    call = parse(sent, ROUTE, LIMITS)
    assert (call.method, call.action, call.session) == ("DELETE", "notify", "sealed")
    out = encode(call, session="upstream-1", trace=TRACE)
    assert (out.http_method, out.body) == ("DELETE", b"")
    assert dict(out.headers) == {"MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": "upstream-1", **TRACE}


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
ARGUMENTS = st.dictionaries(
    st.text(),
    st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8),
    max_size=4,
)


@given(ARGUMENTS, st.text("abcXYZ09_.-", min_size=1, max_size=20), st.integers(-(2**63), 2**63 - 1) | st.text())
def test_parse_encode_parse_is_stable(arguments: dict[str, object], name: str, request_id: int | str) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"name": name, "arguments": arguments, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}).encode()
    headers = {
        "content-type": "application/json", "accept": "*/*", "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call", "mcp-name": name,
    }  # fmt: skip
    call = parse(Incoming("POST", "", headers, {}, body), ROUTE, LIMITS)
    out = encode(call, session=None, trace={})
    again = parse(Incoming("POST", "", {k.lower(): v for k, v in out.headers}, {}, out.body), ROUTE, LIMITS)
    assert again == call
    assert encode(again, session=None, trace={}) == out
