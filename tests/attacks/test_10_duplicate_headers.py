"""Attack 10: a header sent twice, of which one reader takes the first and another the last."""

from collections.abc import Callable

import pytest

from gateway.proxy.exchange import SINGLE
from tests.attacks.front import Front

pytestmark = pytest.mark.asyncio(loop_scope="module")

VALUES = {"content-encoding": "identity", "transfer-encoding": "chunked", "a2a-version": "1.0"}
PARSERS = frozenset({"host", "content-length", "content-type", "transfer-encoding"})
"""Refused by the HTTP parser itself, before there is a head."""
PROTOCOL = ("mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-to", "mcp-anything")


@pytest.mark.parametrize("name", sorted({*SINGLE, *PROTOCOL} - PARSERS))
@pytest.mark.parametrize("spelled", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("same", [True, False])
async def test_what_must_be_sent_once_is_refused_twice(
    front: Front, name: str, spelled: Callable[[str], str], same: bool
) -> None:
    own = {key.lower(): value for key, value in front.headers()}
    value = own.get(name, VALUES.get(name, "x"))
    twins = [(spelled(name), value if same else f"{value}x")]
    twins += [] if name in own else [(name, value)]
    said, forwarded = await front.forwarded(front.request(*twins))
    assert (said.statuses, said.reason, forwarded) == ([400], "header_duplicate", 0)
    assert front.last_record().record.reason == "header_duplicate"


@pytest.mark.parametrize("name", sorted(PARSERS))
async def test_some_are_refused_before_there_is_a_head(front: Front, name: str) -> None:
    own = {"content-length": "1", "content-type": "text/plain", "host": "127.0.0.1", "transfer-encoding": "chunked"}
    said, forwarded = await front.forwarded(front.request((name, own[name]), (name, own[name])))
    assert (said.statuses, said.reason, forwarded) == ([400], "http_malformed", 0)


async def test_a_list_in_one_header_is_no_way_round(front: Front) -> None:
    """``a, b`` is what a joining reader makes of two headers."""
    request = front.request()
    [token] = [line for line in request.split(b"\r\n") if line.startswith(b"Authorization: ")]
    joined = request.replace(token, token + b", " + token.removeprefix(b"Authorization: "))
    said, forwarded = await front.forwarded(joined)
    assert (said.statuses, said.reason, forwarded) == ([401], "token_malformed", 0)
    said, forwarded = await front.forwarded(front.request().replace(b"read_balance\r\n", b"read_balance, pay\r\n"))
    assert (said.statuses, said.reason, forwarded) == ([400], "header_mismatch", 0)
