"""Attack 22: a browser at another site, whose name was made to resolve to the gateway (DNS rebinding)."""

import httpx
import pytest

from tests.attacks.front import Front

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTS = [
    "evil.test", "evil.test:443", "127.0.0.1.evil.test", "127.0.0.1@evil.test", "localhost.evil.test", "0.0.0.0",
    "127.1", "2130706433", "0x7f000001", "127.0.0.1:x:1", "[::ffff:127.0.0.1]", "127.0.0.1,evil.test", "127.0.0.1/",
    "evil.test#127.0.0.1", "127.0.0.1.", "localhost\t.evil.test", "", ":8443", "[]",
]  # fmt: skip
ORIGINS = [
    "https://evil.test", "http://127.0.0.1", "https://localhost", "null", "", "*", "https://127.0.0.1:1",
    "file://", "chrome-extension://x",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
async def test_another_host_is_refused(front: Front, host: str) -> None:
    said, forwarded = await front.forwarded(front.request(host=host or " "))
    assert forwarded == 0
    assert said.statuses in ([400], [403])
    assert said.reason in ("host_forbidden", "http_malformed")


async def test_no_host_is_refused(front: Front) -> None:
    request = front.request().replace(b"Host: ", b"X-Host: ")
    said, forwarded = await front.forwarded(request)
    assert forwarded == 0
    assert said.statuses in ([400], [403])


@pytest.mark.parametrize("origin", ORIGINS)
async def test_another_origin_is_refused(front: Front, origin: str) -> None:
    said, forwarded = await front.forwarded(front.request(("Origin", origin)))
    assert (said.statuses, said.reason, forwarded) == ([403], "origin_forbidden", 0)
    assert front.last_record().record.reason == "origin_forbidden"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]", "[::1]:8443"])
async def test_names_of_the_listener_are_its_own(front: Front, host: str) -> None:
    said, forwarded = await front.forwarded(front.request(host=host))
    assert (said.statuses, forwarded) == ([200], 1)


@pytest.mark.parametrize("path", ["/a2a/planner", "/.well-known/jwks.json", "/mcp/ledger"])
async def test_the_public_listener_checks_too(front: Front, path: str) -> None:
    """The one that browsers can reach without a certificate."""
    async with httpx.AsyncClient(verify=front.company.anyone()) as http:
        for header, reason in (
            ({"Host": "evil.test"}, "host_forbidden"),
            ({"Origin": "https://evil.test"}, "origin_f"),
        ):
            reply = await http.get(front.company.public_url + path, headers=header)
            assert reply.status_code == 403
            assert reply.json()["reason"].startswith(reason)
            assert "access-control-allow-origin" not in reply.headers


async def test_a_preflight_gets_no_leave(front: Front) -> None:
    request = front.request(("Origin", "https://evil.test"), ("Access-Control-Request-Method", "POST"))
    said, forwarded = await front.forwarded(request.replace(b"POST", b"OPTIONS", 1))
    assert (said.statuses, forwarded) == ([403], 0)
    assert b"access-control" not in said.raw.lower()
