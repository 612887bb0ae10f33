"""Attack 11: hop-by-hop headers, and ``Connection`` naming headers that a proxy would strip or pass on.

Upstream headers are built from the call, so naming one changes nothing, and none of the client's own arrives.
"""

import pytest

from tests.attacks.front import Front

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENT = {
    "host", "authorization", "content-type", "content-length", "accept", "accept-encoding", "user-agent",
    "mcp-protocol-version", "mcp-method", "mcp-name", "traceparent", "tracestate",
}  # fmt: skip
"""All that an upstream is ever sent for this call."""
NAMED = ["Authorization", "Host", "Content-Length", "Mcp-Name", "Mcp-Method", "traceparent", "close, Authorization"]
CLIENTS = {
    "Keep-Alive": "timeout=99",
    "Proxy-Authorization": "Basic c211Z2dsZWQ=",
    "Proxy-Connection": "keep-alive",
    "TE": "trailers",
    "Trailer": "Authorization",
    "Via": "1.1 smuggled",
    "Cookie": "session=smuggled",
    "X-Custom": "smuggled",
    "HTTP2-Settings": "AAMAAABkAAQAAP__",
    "Forwarded": "for=smuggled",
    "User-Agent": "smuggled",
    "Accept-Encoding": "gzip",
    "X-HTTP-Method-Override": "DELETE",
    "X-Original-URL": "/smuggled",
}


@pytest.mark.parametrize("named", NAMED)
async def test_a_named_header_still_counts(front: Front, named: str) -> None:
    request = front.request().replace(b"Connection: close", f"Connection: {named}, close".encode())
    said, forwarded = await front.forwarded(request)
    assert (said.statuses, forwarded) == ([200], 1)
    assert SENT >= front.upstream.heads[-1].keys() >= {"host", "authorization", "mcp-name", "mcp-method"}


async def test_no_header_of_the_client_arrives(front: Front) -> None:
    own = front.headers()
    said, forwarded = await front.forwarded(front.request(*CLIENTS.items()))
    assert (said.statuses, forwarded) == ([200], 1)
    arrived = front.upstream.heads[-1]
    assert arrived.keys() <= SENT
    assert arrived["authorization"] != dict(own)["Authorization"]
    assert arrived["host"] == f"127.0.0.1:{front.company.upstreams['ledger']}"
    assert arrived["accept-encoding"] == "identity"
    assert "smuggled" not in str(arrived)


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.3", "HTTP/2.0"])
async def test_an_upgrade_is_not_taken(front: Front, upgrade: str) -> None:
    request = front.request(("Upgrade", upgrade)).replace(b"Connection: close", b"Connection: Upgrade, close")
    said, forwarded = await front.forwarded(request)
    assert 101 not in said.statuses
    assert b"upgrade:" not in said.raw.lower()
    assert forwarded <= 1
    assert all("upgrade" not in heads for heads in front.upstream.heads)


async def test_connect_opens_no_tunnel(front: Front) -> None:
    request = front.request().replace(b"POST /mcp/ledger", b"CONNECT ledger.internal:443", 1)
    said, forwarded = await front.forwarded(request)
    assert forwarded == 0
    assert said.statuses in ([400], [404], [405])
