"""Messages that aren't valid, or aren't carried: the status and code of MCP 2026-07-28, a record, nothing forwarded.

One gateway serves the whole file; each case looks only at its own reply and record.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from gateway.core.reasons import Reason
from tests.company import Company
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import (
    INITIALIZE,
    LEGACY,
    META,
    MODERN,
    Wire,
    answer_of,
    bare,
    call,
    legacy,
    modern,
    open_session,
    post,
    record_of,
    refusal_of,
    through_gateway,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ = call("read_balance")


class Entrance(NamedTuple):
    company: Company
    ledger: Ledger
    wire: Wire
    session: Mapping[str, str | None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def entrance(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Entrance]:
    company, ledger = Company(tmp_path_factory.mktemp("company")), Ledger()
    pay = company.registry["servers"]["ledger"]["tools"]["pay"]["input_schema"]["properties"]
    pay["to"] = {"type": "string", "x-mcp-header": "To"}
    pay["amount"] = {"type": "integer", "x-mcp-header": "Amount"}
    async with through_gateway(company, ledger), bare(company) as wire:
        yield Entrance(company, ledger, wire, await open_session(wire))


def without(message: dict[str, Any], member: str) -> dict[str, Any]:
    """``message`` without one member of its ``_meta``."""
    meta = {name: value for name, value in message["params"]["_meta"].items() if name != META + member}
    return {**message, "params": {**message["params"], "_meta": meta}}


def versioned(version: Any) -> dict[str, Any]:
    return {
        **READ,
        "params": {**READ["params"], "_meta": {**READ["params"]["_meta"], META + "protocolVersion": version}},
    }


def named(name: Any) -> dict[str, Any]:
    return modern("tools/call", {"name": name, "arguments": {}})


CYRILLIC_NAME = {"Mcp-Name": "=?base64?ctC1YWQ=?="}
OLD_HEADER = {"MCP-Protocol-Version": "2025-03-26"}
MODERN_HEADER = {"MCP-Protocol-Version": MODERN}
LEGACY_HEADER = {"MCP-Protocol-Version": LEGACY}
TO_COME = {"MCP-Protocol-Version": "2031-01-01"}
MALFORMED: Mapping[str, tuple[Any, Mapping[str, str | None], tuple[int, int, Reason]]] = {
    "not json": (b'{"jsonrpc": ', MODERN_HEADER, (400, -32700, Reason.BODY_MALFORMED)),
    "duplicate keys": (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', {}, (400, -32700, Reason.BODY_MALFORMED)),
    "a batch": ([READ], MODERN_HEADER, (400, -32600, Reason.BATCH_REFUSED)),
    "a response": ({"jsonrpc": "2.0", "id": 1, "result": {}}, {}, (400, -32600, Reason.MESSAGE_INVALID)),
    "a null id": ({**READ, "id": None}, {}, (400, -32600, Reason.MESSAGE_INVALID)),
    "no id": (modern("tools/list", request_id=None), {}, (400, -32600, Reason.MESSAGE_INVALID)),
    "another json-rpc": ({**READ, "jsonrpc": "1.0"}, {}, (400, -32600, Reason.MESSAGE_INVALID)),
    "no sign of an era": (legacy("tools/list"), {}, (400, -32602, Reason.MESSAGE_INVALID)),
    "no _meta": (legacy("tools/list"), MODERN_HEADER, (400, -32602, Reason.MESSAGE_INVALID)),
    "no version": (without(READ, "protocolVersion"), MODERN_HEADER, (400, -32602, Reason.MESSAGE_INVALID)),
    "no capabilities": (without(READ, "clientCapabilities"), {}, (400, -32602, Reason.MESSAGE_INVALID)),
    "a version that is a number": (versioned(2026), {}, (400, -32602, Reason.MESSAGE_INVALID)),
    "a version to come": (versioned("2031-01-01"), TO_COME, (400, -32022, Reason.VERSION_UNSUPPORTED)),
    "a session's version": (versioned(LEGACY), LEGACY_HEADER, (400, -32022, Reason.VERSION_UNSUPPORTED)),
    "a version to come in the body only": (versioned("2031-01-01"), {}, (400, -32020, Reason.HEADER_MISMATCH)),
    "no version header": (READ, {"MCP-Protocol-Version": None}, (400, -32020, Reason.HEADER_MISMATCH)),
    "another version header": (READ, {"MCP-Protocol-Version": LEGACY}, (400, -32020, Reason.HEADER_MISMATCH)),
    "no method header": (READ, {"Mcp-Method": None}, (400, -32020, Reason.HEADER_MISMATCH)),
    "another method header": (READ, {"Mcp-Method": "tools/list"}, (400, -32020, Reason.HEADER_MISMATCH)),
    "a method header in capitals": (READ, {"Mcp-Method": "Tools/Call"}, (400, -32020, Reason.HEADER_MISMATCH)),
    "no name header": (READ, {"Mcp-Name": None}, (400, -32020, Reason.HEADER_MISMATCH)),
    "another name header": (READ, {"Mcp-Name": "pay"}, (400, -32020, Reason.HEADER_MISMATCH)),
    "a broken base64 name": (READ, {"Mcp-Name": "=?base64?cmVhZA?="}, (400, -32020, Reason.HEADER_MISMATCH)),
    "no parameter header": (call("pay", amount=5, to="ACME"), {}, (400, -32020, Reason.HEADER_MISMATCH)),
    "another parameter header": (
        call("pay", amount=5, to="ACME"),
        {"Mcp-Param-To": "EVIL", "Mcp-Param-Amount": "5"},
        (400, -32020, Reason.HEADER_MISMATCH),
    ),
    "another number in a header": (
        call("pay", amount=5000, to="ACME"),
        {"Mcp-Param-To": "ACME", "Mcp-Param-Amount": "5"},
        (400, -32020, Reason.HEADER_MISMATCH),
    ),
    "an unknown method": (modern("tools/delete"), {}, (404, -32601, Reason.METHOD_UNKNOWN)),
    "a method in capitals": (modern("Tools/List"), {}, (404, -32601, Reason.METHOD_UNKNOWN)),
    "a method of the other era": (modern("ping"), {}, (404, -32601, Reason.METHOD_UNKNOWN)),
    "a name in another script": (named("r\u0435ad"), CYRILLIC_NAME, (400, -32602, Reason.MESSAGE_INVALID)),
    "no name": (named(""), {}, (400, -32602, Reason.MESSAGE_INVALID)),
    "a path as name": (named("../ledger/pay"), {}, (400, -32602, Reason.MESSAGE_INVALID)),
    "arguments in a list": (
        modern("tools/call", {"name": "pay", "arguments": [5]}),
        {},
        (400, -32602, Reason.MESSAGE_INVALID),
    ),
    "a denied call": (call("delete_all"), {}, (403, 1403, Reason.NO_PERMIT)),
    "an unregistered tool": (call("unregistered"), {}, (403, 1403, Reason.TOOL_UNKNOWN)),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
async def test_modern_messages(entrance: Entrance, case: str) -> None:
    message, headers, expected = MALFORMED[case]
    before = len(entrance.ledger.headers)
    reply = await post(entrance.wire, message, headers)
    assert refusal_of(reply) == expected
    readable = isinstance(message, dict) and isinstance(message.get("id"), int)
    assert answer_of(reply)["id"] == (message["id"] if readable else None)
    assert "www-authenticate" not in reply.headers
    record = record_of(entrance.company, reply).record
    assert (record.reason, record.user, record.agent and record.agent.name) == (expected[2], "corp|maria", "planner")
    assert len(entrance.ledger.headers) == before


SESSION_MALFORMED: Mapping[str, tuple[Any, Mapping[str, str | None], tuple[int, int, Reason]]] = {
    "an old header": (legacy("ping"), OLD_HEADER, (400, -32022, Reason.VERSION_UNSUPPORTED)),
    "an unknown method": (legacy("tools/delete"), {}, (400, -32601, Reason.METHOD_UNKNOWN)),
    "a method of the other era": (legacy("server/discover"), {}, (400, -32601, Reason.METHOD_UNKNOWN)),
    "a notification with an id": (legacy("notifications/initialized"), {}, (400, -32600, Reason.MESSAGE_INVALID)),
    "a cancellation of nothing": (
        legacy("notifications/cancelled", {}, request_id=None),
        {},
        (400, -32602, Reason.MESSAGE_INVALID),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SESSION_MALFORMED)
async def test_legacy_messages(entrance: Entrance, case: str) -> None:
    message, headers, expected = SESSION_MALFORMED[case]
    before = len(entrance.ledger.headers)
    reply = await post(entrance.wire, message, {**entrance.session, **headers})
    assert refusal_of(reply) == expected
    assert record_of(entrance.company, reply).record.reason == expected[2]
    assert len(entrance.ledger.headers) == before


async def test_versions_that_are_served_are_named(entrance: Entrance) -> None:
    modern_reply = await post(entrance.wire, versioned("2031-01-01"), TO_COME)
    old = {**INITIALIZE, "params": {**INITIALIZE["params"], "protocolVersion": "2024-11-05"}}
    legacy_reply = await post(entrance.wire, old)
    assert refusal_of(legacy_reply) == (400, -32602, Reason.VERSION_UNSUPPORTED)
    every = ["2026-07-28", "2025-11-25", "2025-06-18"]
    for reply, requested, served in (
        (modern_reply, "2031-01-01", every[:1]),
        (legacy_reply, "2024-11-05", every),
    ):
        data = answer_of(reply)["error"]["data"]
        assert (data["supported"], data["requested"]) == (served, requested)


@pytest.mark.parametrize("amount", ["5", "5.0"])
async def test_headers_that_agree_pass_and_are_built_anew(entrance: Entrance, amount: str) -> None:
    headers = {"mcp-param-to": "=?base64?QUNNRQ==?=", "MCP-PARAM-AMOUNT": amount, "Mcp-Param-Other": "x"}
    reply = await post(entrance.wire, call("pay", amount=5, to="ACME"), headers)
    assert answer_of(reply)["result"]["structuredContent"] == {"paid": 5}
    arrived = entrance.ledger.headers[-1]
    assert (arrived["mcp-param-to"], arrived["mcp-param-amount"]) == ("ACME", "5")
    assert "mcp-param-other" not in arrived


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Mcp-Method", "Mcp-Name", "MCP-Protocol-Version", "Mcp-Session-Id", "Accept", "Origin"],
)
async def test_headers_that_decide_come_once(entrance: Entrance, name: str) -> None:
    before = len(entrance.ledger.headers)
    sent = entrance.wire.http.build_request("POST", entrance.wire.url, json=READ).headers
    sent.update({"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "read_balance"})
    twice = [*((n, v) for n, v in sent.multi_items()), (name, sent.get(name, "x")), (name, sent.get(name, "x"))]
    reply = await entrance.wire.http.post(entrance.wire.url, json=READ, headers=twice)
    assert (reply.status_code, reply.json()["reason"]) == (400, Reason.HEADER_DUPLICATE)
    [found] = [one for one in entrance.company.records() if one.record.hop == reply.json()["decision_id"]]
    assert found.record.reason == Reason.HEADER_DUPLICATE
    assert len(entrance.ledger.headers) == before


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
async def test_only_post_carries_messages(entrance: Entrance, method: str) -> None:
    before = len(entrance.ledger.headers)
    reply = await entrance.wire.http.request(method, entrance.wire.url)
    assert refusal_of(reply) == (405, -32600, Reason.HTTP_METHOD)
    assert reply.headers["allow"] == "POST"
    assert record_of(entrance.company, reply).record.reason == Reason.HTTP_METHOD
    assert len(entrance.ledger.headers) == before


async def test_an_answer_may_be_json_or_a_stream(entrance: Entrance) -> None:
    before = len(entrance.ledger.headers)
    reply = await post(entrance.wire, READ, {"Accept": "application/json"})
    assert refusal_of(reply) == (406, -32600, Reason.CONTENT_TYPE)
    assert record_of(entrance.company, reply).record.reason == Reason.CONTENT_TYPE
    assert len(entrance.ledger.headers) == before
