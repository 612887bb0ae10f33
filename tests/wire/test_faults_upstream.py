"""Upstreams that are dead, wrong, slow, torn or rubbish: the caller gets the protocol's own error with the reason,
the outcome is recorded, and the next request works."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from gateway.store.query import Found
from tests.company import Company
from tests.gateways import Script, running, scripted
from tests.wire import agent as a2a
from tests.wire import mcp_calls as mcp

pytestmark = pytest.mark.asyncio(loop_scope="module")

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]
ANSWER_BYTES, EVENT_BYTES = 4096, 1024
UPSTREAMS = {"mcp": ("ledger", "server/ledger"), "a2a": ("analyst", "agent/analyst")}
RESULTS: dict[str, Any] = {
    "mcp": {"content": [{"type": "text", "text": "1"}], "structuredContent": {"balance": 1}, "isError": False},
    "a2a": {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hi"}]}},
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def company(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    """The company with its gateway running, impatient and with little room."""
    made = Company(tmp_path_factory.mktemp("company"))
    made.settings["limits"] = {
        "answer_seconds": 0.8,
        "idle_stream_seconds": 0.5,
        "connect_seconds": 0.6,
        "answer_bytes": ANSWER_BYTES,
        "event_bytes": EVENT_BYTES,
    }
    async with running(made):
        yield made


@pytest.fixture(params=["mcp", "a2a"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def result(protocol: str, **members: Any) -> bytes:
    """The right answer to the request, with its envelope changed by ``members``."""
    return json.dumps({"jsonrpc": "2.0", "id": 7, "result": RESULTS[protocol], **members}).encode()


def reply(body: bytes, *headers: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def writes(*pieces: bytes, then: str = "close") -> Behaviour:
    """Sends ``pieces``; then closes in order, resets the connection, or stays silent until it is closed."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then == "reset":
            writer.transport.abort()
        elif then == "silence":
            await writer.wait_closed()

    return behave


async def drips(writer: asyncio.StreamWriter) -> None:
    """Never silent for long, never done."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n")
    while not writer.transport.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.02)


async def ask(company: Company, protocol: str, *, stream: bool = False) -> Any:
    """One permitted call; the response, whichever HTTP library brought it."""
    if protocol == "mcp":
        async with mcp.bare(company) as http:
            return await mcp.post(http, mcp.call("read_balance", account="x"))
    async with a2a.bare(company) as bare:
        method = "SendStreamingMessage" if stream else "SendMessage"
        return await bare.post(a2a.sending("hello", method))


def reason_of(response: Any) -> str:
    return str(a2a.answer_of(response)["error"]["data"]["reason"])


def last(company: Company) -> Found:
    return company.records()[-1]


async def check(
    company: Company, protocol: str, behave: Behaviour, expected: tuple[int, str], *, stream: bool = False
) -> None:
    """``behave`` ends the call as ``expected`` (HTTP status and reason), and leaves nothing broken."""
    name, svid = UPSTREAMS[protocol]
    script = Script(behave)
    async with scripted(company, svid, company.upstreams[name], script):
        response = await ask(company, protocol, stream=stream)
        error = a2a.answer_of(response)["error"]
        assert (response.status_code, error["data"]["reason"]) == expected
        outcome = last(company).outcome
        assert outcome is not None
        assert (outcome.ok, outcome.status, outcome.reason) == (False, *expected)
        assert error["data"]["decision_id"] == outcome.hop
        assert len(script.requests) == 1
        script.answer = writes(reply(result(protocol)))
        assert a2a.answer_of(await ask(company, protocol))["result"]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_right_answer_is_the_clients(company: Company, protocol: str) -> None:
    name, svid = UPSTREAMS[protocol]
    async with scripted(company, svid, company.upstreams[name], Script(writes(reply(result(protocol))))):
        response = await ask(company, protocol)
    assert response.status_code == 200
    outcome = last(company).outcome
    assert outcome is not None
    assert outcome.ok


async def test_a_dead_upstream(company: Company, protocol: str) -> None:
    response = await ask(company, protocol)
    assert response.status_code == 502
    assert a2a.answer_of(response)["error"]["data"]["reason"] == "upstream_unreachable"
    outcome = last(company).outcome
    assert outcome is not None
    assert (outcome.ok, outcome.reason) == (False, "upstream_unreachable")


async def test_an_upstream_with_another_spiffe_id(company: Company, protocol: str) -> None:
    name, own = UPSTREAMS[protocol]
    script = Script(writes(reply(result(protocol))))
    async with scripted(company, "server/impostor", company.upstreams[name], script):
        response = await ask(company, protocol)
    assert (response.status_code, reason_of(response)) == (502, "upstream_identity")
    assert script.requests == []
    async with scripted(company, own, company.upstreams[name], script):
        assert (await ask(company, protocol)).status_code == 200


@pytest.mark.parametrize(
    ("greeting", "reason"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "upstream_identity"), (b"", "upstream_unreachable")]
)
async def test_an_upstream_that_does_not_speak_tls(
    company: Company, protocol: str, greeting: bytes, reason: str
) -> None:
    name, _ = UPSTREAMS[protocol]

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", company.upstreams[name]):
        response = await ask(company, protocol)
    assert (response.status_code, reason_of(response)) == (502, reason)
    outcome = last(company).outcome
    assert outcome is not None
    assert outcome.reason == reason


ANSWERS: dict[str, tuple[Behaviour, tuple[int, str]]] = {
    "nothing comes": (writes(then="silence"), (504, "upstream_timeout")),
    "only a head comes": (writes(HEAD + b"\r\n", then="silence"), (504, "upstream_timeout")),
    "it drips": (drips, (504, "upstream_timeout")),
    "closed at once": (writes(), (502, "upstream_reset")),
    "reset at once": (writes(then="reset"), (502, "upstream_reset")),
    "closed within the head": (writes(HEAD), (502, "upstream_reset")),
    "closed within the body": (writes(HEAD + b'\r\n{"half'), (502, "upstream_reset")),
    "reset within the body": (writes(HEAD + b'\r\n{"half', then="reset"), (502, "upstream_reset")),
    "another protocol": (writes(b"SSH-2.0-OpenSSH_9.2\r\n"), (502, "upstream_malformed")),
    "two lengths": (writes(HEAD + b"Content-Length: 12\r\n\r\n"), (502, "upstream_malformed")),
    "a huge head": (writes(HEAD + b"X-Long: " + b"x" * 70_000), (502, "upstream_malformed")),
    "HTML": (writes(reply(b"<html>", kind="text/html")), (502, "upstream_malformed")),
    "no body": (writes(reply(b"")), (502, "upstream_malformed")),
    "no body with 202": (writes(reply(b"", status="202 Accepted")), (502, "upstream_malformed")),
    "not JSON": (writes(reply(b"not JSON")), (502, "upstream_malformed")),
    "an array": (writes(reply(b"[]")), (502, "upstream_malformed")),
    "result and error": (
        writes(reply(b'{"jsonrpc":"2.0","id":7,"result":{},"error":{}}')),
        (502, "upstream_malformed"),
    ),
    "too large": (writes(reply(b" " * (ANSWER_BYTES + 1))), (502, "upstream_too_large")),
    "a redirect": (
        writes(reply(b"{}", "Location: https://127.0.0.1:1/", status="302 Found")),
        (502, "upstream_status"),
    ),
    "401": (writes(reply(b"{}", status="401 Unauthorized")), (502, "upstream_status")),
    "403": (writes(reply(b"{}", status="403 Forbidden")), (502, "upstream_status")),
    "500": (writes(reply(b"{}", status="500 Internal Server Error")), (502, "upstream_status")),
    "503 in plain text": (
        writes(reply(b"busy", status="503 Service Unavailable", kind="text/plain")),
        (502, "upstream_status"),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_that_is_none(company: Company, protocol: str, name: str) -> None:
    behave, expected = ANSWERS[name]
    await check(company, protocol, behave, expected)


@pytest.mark.parametrize("fault", ["compressed", "duplicate keys", "an unknown type"])
async def test_a_right_answer_with_one_fault(company: Company, protocol: str, fault: str) -> None:
    right = result(protocol)
    spoilt = {
        "compressed": reply(right, "Content-Encoding: gzip"),
        "duplicate keys": reply(right.removesuffix(b"}") + b',"id":7}'),
        "an unknown type": reply(right, kind="application/octet-stream"),
    }
    await check(company, protocol, writes(spoilt[fault]), (502, "upstream_malformed"))


@pytest.mark.parametrize("other", [8, "7", None])
async def test_an_answer_to_another_request(company: Company, protocol: str, other: Any) -> None:
    await check(company, protocol, writes(reply(result(protocol, id=other))), (502, "upstream_malformed"))


STREAMS: dict[str, tuple[Behaviour, str]] = {
    "silent": (writes(STREAM, then="silence"), "upstream_timeout"),
    "comments": (writes(STREAM, b": still here\n\n", then="silence"), "upstream_timeout"),
    "empty": (writes(STREAM), "upstream_reset"),
    "torn event": (writes(STREAM, b"data: {"), "upstream_reset"),
    "reset": (writes(CHUNKED, b"10\r\nda", then="reset"), "upstream_reset"),
    "not JSON": (writes(STREAM, b"data: not JSON\n\n"), "upstream_malformed"),
    "other id": (writes(STREAM, b'data: {"jsonrpc":"2.0","id":8,"result":{}}\n\n'), "upstream_malformed"),
    "not UTF-8": (writes(STREAM, b"data: \xff\n\n"), "upstream_malformed"),
    "too large": (writes(STREAM, b"data: " + b"x" * EVENT_BYTES), "upstream_too_large"),
}


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_that_breaks_ends_with_the_reason(company: Company, protocol: str, name: str) -> None:
    behave, reason = STREAMS[name]
    await check(company, protocol, behave, (200, reason), stream=True)


async def test_what_came_before_a_reset_was_the_clients(company: Company) -> None:
    event = b"data: " + result("a2a") + b"\n\n"
    name, svid = UPSTREAMS["a2a"]
    broken = writes(STREAM, event, b"data: {", then="reset")
    async with scripted(company, svid, company.upstreams[name], Script(broken)):
        response = await ask(company, "a2a", stream=True)
    first, second = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data:")]
    assert first["result"] == RESULTS["a2a"]
    assert second["error"]["data"]["reason"] == "upstream_reset"
