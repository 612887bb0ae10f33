"""Requests that are slow, too large, compressed or meant for somebody else: refused by reason, recorded, not forwarded;
and no caller holds more streams than the limit."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.core.audit import RefusedRecord
from tests.company import Company
from tests.gateways import Script, running, scripted
from tests.wire import agent as a2a
from tests.wire import mcp_calls as mcp

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY_BYTES = 4096
ROUTES = {"mcp": "/mcp/ledger", "a2a": "/a2a/analyst"}
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: begun\n\n"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def company(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Company]:
    made = Company(tmp_path_factory.mktemp("company"))
    made.settings["limits"] = {"body_seconds": 0.4, "body_bytes": BODY_BYTES, "streams_per_agent": 1}
    made.registry["agents"]["auditor"] |= {"entry_point": True, "clients": ["cli"], "risk_level": "low"}
    async with running(made):
        yield made


@pytest.fixture(params=["mcp", "a2a"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def headers_of(company: Company, protocol: str, message: Mapping[str, Any]) -> dict[str, str]:
    """All headers of a right request."""
    path = ROUTES[protocol]
    own = mcp.headers_of(message) if protocol == "mcp" else {"A2A-Version": "1.0", "Content-Type": "application/json"}
    return own | a2a.bearing(company.token(company.data_url + path))


def message_of(protocol: str, text: str = "x") -> dict[str, Any]:
    return mcp.call("read_balance", account=text) if protocol == "mcp" else a2a.sending(text)


async def refused(company: Company, protocol: str, message: Mapping[str, Any], changed: Mapping[str, str]) -> Any:
    """The response to ``message`` with some headers changed; nothing may reach the upstream."""
    script = Script(lambda writer: asyncio.sleep(0))
    name, svid = ("ledger", "server/ledger") if protocol == "mcp" else ("analyst", "agent/analyst")
    headers = headers_of(company, protocol, message) | changed
    client = httpx.AsyncClient(verify=company.client("planner"))
    async with scripted(company, svid, company.upstreams[name], script), client as http:
        content = json.dumps(message).encode()
        response = await http.post(company.data_url + ROUTES[protocol], content=content, headers=headers)
    assert script.requests == []
    return response


def recorded(company: Company) -> str:
    record = company.records()[-1].record
    assert isinstance(record, RefusedRecord)
    assert record.agent is not None
    assert record.agent.name == "planner"
    return str(record.reason)


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        ({"Content-Encoding": "gzip"}, 415, "content_type"),
        ({"Content-Type": "text/plain"}, 415, "content_type"),
        ({"Content-Type": "application/json; charset=utf-16"}, 415, "content_type"),
        ({"Host": "gateway.evil.test"}, 403, "host_forbidden"),
        ({"Origin": "https://evil.test"}, 403, "origin_forbidden"),
        ({"Accept": "text/html"}, 406, "content_type"),
    ],
)
async def test_a_request_that_is_not_meant_so(
    company: Company, protocol: str, changed: Mapping[str, str], status: int, reason: str
) -> None:
    response = await refused(company, protocol, message_of(protocol), changed)
    body = response.json()
    assert (response.status_code, (body.get("error", {}).get("data") or body)["reason"]) == (status, reason)
    assert recorded(company) == reason


async def test_a_body_over_the_limit(company: Company, protocol: str) -> None:
    response = await refused(company, protocol, message_of(protocol, "x" * BODY_BYTES), {})
    assert (response.status_code, a2a.answer_of(response)["error"]["data"]["reason"]) == (413, "body_too_large")
    assert recorded(company) == "body_too_large"


async def test_a_head_over_the_limit(company: Company, protocol: str) -> None:
    response = await refused(company, protocol, message_of(protocol), {"X-Long": "x" * 20_000})
    assert (response.status_code, response.json()["reason"]) == (400, "http_malformed")
    async with httpx.AsyncClient() as http:
        metrics = (await http.get(f"http://127.0.0.1:{company.health_port}/metrics")).text
    assert 'hopgate_refused_unrecorded_total{reason="http_malformed"}' in metrics


async def raw(company: Company, protocol: str, length: int, *pieces: bytes) -> bytes:
    """What the gateway answers to a head that promises ``length`` bytes, and to ``pieces`` of them."""
    headers = headers_of(company, protocol, message_of(protocol)) | {"Host": f"127.0.0.1:{company.data_port}"}
    head = [f"POST {ROUTES[protocol]} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", company.data_port, ssl=company.client("planner"), server_hostname="127.0.0.1"
    )
    writer.write("\r\n".join([*head, f"Content-Length: {length}", "", ""]).encode())
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_body_that_does_not_arrive(company: Company, protocol: str) -> None:
    answer = await raw(company, protocol, 100, b'{"jsonrpc":')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"reason":"body_slow"' in answer
    assert recorded(company) == "body_slow"


async def test_a_body_that_promises_too_much_is_refused_before_it_comes(company: Company, protocol: str) -> None:
    answer = await raw(company, protocol, BODY_BYTES + 1)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"reason":"body_too_large"' in answer


async def test_a_caller_at_the_limit_of_streams_opens_no_more(company: Company, protocol: str) -> None:
    given_up = asyncio.Semaphore(0)

    async def stream(writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        await writer.wait_closed()
        given_up.release()

    script = Script(stream)
    name, svid = ("ledger", "server/ledger") if protocol == "mcp" else ("analyst", "agent/analyst")
    message = message_of(protocol) if protocol == "mcp" else a2a.sending("x", "SendStreamingMessage")
    url = company.data_url + ROUTES[protocol]
    async with scripted(company, svid, company.upstreams[name], script):
        async with httpx.AsyncClient(verify=company.client("planner")) as http:
            headers = headers_of(company, protocol, message)
            async with http.stream("POST", url, json=message, headers=headers) as first:
                pieces = first.aiter_bytes()
                await anext(pieces)
                second = await http.post(url, json=message, headers=headers)
                assert (second.status_code, second.headers["retry-after"]) == (429, "5")
                assert a2a.answer_of(second)["error"]["data"]["reason"] == "too_many_streams"
                assert len(script.requests) == 1
                # Another agent has a limit of its own.
                others = httpx.AsyncClient(verify=company.client("auditor"))
                own = headers_of(company, protocol, message)
                async with others as other, other.stream("POST", url, json=message, headers=own) as spared:
                    assert spared.status_code == 200
        async with asyncio.timeout(5):
            # The clients' leaving is the upstream's too.
            await given_up.acquire()
            await given_up.acquire()
        async with (
            httpx.AsyncClient(verify=company.client("planner")) as http,
            http.stream("POST", url, json=message, headers=headers) as again,
        ):
            assert again.status_code == 200
        async with asyncio.timeout(5):
            await given_up.acquire()
