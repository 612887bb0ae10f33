import json

import pytest
from mcp_types import JSONRPCError, UnsupportedProtocolVersionErrorData, jsonrpc_message_adapter

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Route
from gateway.core.reasons import Reason
from gateway.protocols.base import Incoming, Refusal, refusal_of
from gateway.protocols.challenge import challenge
from gateway.protocols.mcp import era_of_headers, parse, refuse

ROUTE = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("request_id", [None, 1, "a"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_official_clients_read_every_refusal(reason: Reason, request_id: int | str | None, era: str) -> None:
    reply = refuse(request_id, era, Refusal(reason=reason, decision_id="d1"))
    message = jsonrpc_message_adapter.validate_json(reply.body, by_name=False)
    assert isinstance(message, JSONRPCError)
    assert message.id == request_id
    assert message.error.data["reason"] == str(reason)
    assert reply.status >= 400 or reason is Reason.PERMITTED


def test_a_denial_is_403_and_1403_without_a_challenge() -> None:
    reply = refuse(1, "modern", Refusal(reason=Reason.NO_PERMIT, decision_id="d1"))
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (403, 1403)
    assert "WWW-Authenticate" not in dict(reply.headers)


def test_a_challenge_is_carried() -> None:
    header = ("WWW-Authenticate", challenge("https://gw.test/m", ["s"], "insufficient_scope"))
    reply = refuse(1, "modern", Refusal(reason=Reason.INSUFFICIENT_SCOPE, scopes=("s",), headers=(header,)))
    assert reply.status == 403
    assert header in reply.headers


def test_a_method_that_is_not_carried_names_those_that_are() -> None:
    reply = refuse(1, "modern", Refusal(reason=Reason.NOT_SUPPORTED_YET, detail="prompts/list"))
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (501, -32601)
    assert "tools/call" in error["data"]["carried"]


def refusal(incoming: Incoming) -> tuple[int, dict[str, object]]:
    with pytest.raises(ProtocolError) as caught:
        parse(incoming, ROUTE, Limits())
    error = caught.value
    reply = refuse(error.request_id, era_of_headers(incoming.headers), refusal_of(error))
    return reply.status, json.loads(reply.body)


def test_404_is_for_modern_methods_since_it_ends_a_legacy_session(modern, legacy) -> None:
    assert refusal(modern("nonsense"))[0] == 404
    status, body = refusal(legacy("nonsense"))
    assert (status, body["error"]["code"]) == (400, -32601)
    assert refuse(1, "legacy", Refusal(reason=Reason.SESSION_UNKNOWN)).status == 404


def test_an_unsupported_version_is_told_as_clients_expect(modern) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2027-01-01", "io.modelcontextprotocol/clientCapabilities": {}}
    status, body = refusal(modern("tools/list", {"_meta": meta}, headers={"mcp-protocol-version": "2027-01-01"}))
    assert (status, body["error"]["code"]) == (400, -32022)
    data = UnsupportedProtocolVersionErrorData.model_validate(body["error"]["data"])
    assert (data.supported[0], data.requested) == ("2026-07-28", "2027-01-01")


def test_the_table_of_statuses(modern, legacy) -> None:
    cases = [
        (Incoming("GET", "", modern("x").headers, {}, b""), 405, -32600),
        (Incoming("POST", "", modern("x").headers, {}, b"{"), 400, -32700),
        (Incoming("POST", "", modern("x").headers, {}, b"[]"), 400, -32600),
        (modern("tools/list", {"_meta": {}}), 400, -32602),
        (modern("tools/list", headers={"mcp-method": "x"}), 400, -32020),
        (modern("tools/list", headers={"content-type": "text/plain"}), 415, -32600),
        (modern("tools/list", headers={"accept": "text/html"}), 406, -32600),
    ]
    for incoming, status, code in cases:
        got, body = refusal(incoming)
        assert (got, body["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("headers", "era"),
    [
        ({}, "modern"),
        ({"mcp-protocol-version": "2026-07-28", "mcp-session-id": "x"}, "modern"),
        ({"mcp-session-id": "x"}, "legacy"),
        ({"mcp-protocol-version": "2025-11-25"}, "legacy"),
    ],
)
def test_the_era_of_headers_alone(headers: dict[str, str], era: str) -> None:
    assert era_of_headers(headers) == era
