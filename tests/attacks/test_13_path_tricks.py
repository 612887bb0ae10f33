"""Attack 13: a path that the gateway reads as one route and the upstream as another.

Paths are matched as they are written and never forwarded: the upstream gets the one that is registered for it.
"""

import pytest

from tests.attacks.front import Front

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRICKS = [
    "/mcp%2fledger", "/mcp%2Fledger", "/%6dcp/ledger", "/mcp/ledge%72", "/mcp/ledger%00", "/mcp/ledger%20",
    "/mcp\\ledger", "/mcp/..%5cledger", "/mcp/./ledger", "/mcp/x/../ledger", "/mcp/%2e%2e/mcp/ledger",
    "/mcp/%252e%252e/ledger", "//mcp/ledger", "/mcp//ledger", "/mcp/ledger/", "/mcp/ledger//", "/mcp/ledger/.",
    "/mcp/ledger/..", "/mcp/ledger/../payments", "/mcp/ledger;x=/", "/mcp/ledger;", "/mcp;/ledger",
    "/MCP/ledger", "/mcp/Ledger", "/mcp/ledger#x", "/mcp/ledger\x7f", "/mcp/ledger\xff",
    "mcp/ledger", "*", "/", "", "/mcp", "/mcp/", "/a2a/ledger", "/mcp/analyst", "/mcp/ledger/tools",
    "http://127.0.0.1/mcp/ledger", "https://127.0.0.1/mcp/ledger", "https://evil.test/mcp/ledger",
    "//evil.test/mcp/ledger", "/\\evil.test/mcp/ledger", "/mcp/ledger@evil.test", "/@evil.test/mcp/ledger",
    "/.well-known/../mcp/ledger", "/mcp/ledger/.well-known/agent-card.json",
]  # fmt: skip


@pytest.mark.parametrize("target", TRICKS)
async def test_another_spelling_is_another_path(front: Front, target: str) -> None:
    request = front.request().replace(b"POST /mcp/ledger", b"POST " + target.encode("latin-1"), 1)
    said, forwarded = await front.forwarded(request)
    assert forwarded == 0
    assert said.statuses in ([400], [404]), said.raw
    assert said.reason in ("route_unknown", "http_malformed")


@pytest.mark.parametrize("query", ["?x=1", "?path=/mcp/payments", "?a=%2e%2e%2f", "?"])
async def test_a_query_is_not_forwarded(front: Front, query: str) -> None:
    said, forwarded = await front.forwarded(front.request(target=f"/mcp/ledger{query}"))
    assert (said.statuses, forwarded) == ([200], 1)
    assert front.upstream.requests[-1].startswith(b"POST /mcp HTTP/1.1\r\n")


@pytest.mark.parametrize("query", ["?a=1&a=2", "?a", "?" + "&".join(f"a{n}=1" for n in range(9)), "?a=" + "x" * 1100])
async def test_a_query_of_two_readings_is_none(front: Front, query: str) -> None:
    said, forwarded = await front.forwarded(front.request(target=f"/mcp/ledger{query}"))
    assert (said.statuses, said.reason, forwarded) == ([400], "message_invalid", 0)
