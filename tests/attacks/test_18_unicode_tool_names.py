"""Attack 18: a tool name that looks like another, or that some reader folds, trims or decodes into another."""

import base64
import json
import unicodedata

import pytest

from tests.attacks.front import Front, head
from tests.wire.mcp_calls import modern

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = [
    "re\u0430d_balance",  # Cyrillic a
    "\uff52\uff45\uff41\uff44_balance",  # full width, NFKC folds it
    "read\u200b_balance",
    "\ufeffread_balance",
    "read_balance\u202e",
    "read_balance\u0301",
    "read_balan\u0441e",
    "READ_BALANCE\u0130",
    "read\u00adbalance",
    "read_balance ",
    " read_balance",
    "read_balance\t",
    "read_balance\n",
    "read_balance\0",
    "read_balance\x7f",
    "read/balance",
    "ledger/read_balance",
    "../read_balance",
    "read%5fbalance",
    "read_balance\\u0000",
    'read_balance"',
    "read\U000e0041balance",
    "x" * 129,
]
assert any(unicodedata.normalize("NFKC", name) == "read_balance" for name in NAMES)


def calling(front: Front, name: str) -> bytes:
    """A call of the tool, with the header that agrees with the body."""
    message = modern("tools/call", {"name": name, "arguments": {}})
    body = json.dumps(message).encode()
    encoded = f"=?base64?{base64.b64encode(name.encode()).decode()}?="
    headers = [(key, encoded if key == "Mcp-Name" else value) for key, value in front.headers(message=message)]
    return head("POST /mcp/ledger HTTP/1.1", [*headers, ("Content-Length", str(len(body)))]) + body


@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_a_look_alike_is_no_name(front: Front, name: str) -> None:
    said, forwarded = await front.forwarded(calling(front, name))
    assert (said.statuses, said.reason, forwarded) == ([400], "message_invalid", 0)


@pytest.mark.parametrize("name", ["Read_balance", "read-balance", "read_balance.", "read__balance", "__entity", "."])
async def test_a_name_in_plain_letters_that_is_not_registered(front: Front, name: str) -> None:
    said, forwarded = await front.forwarded(calling(front, name))
    assert (said.statuses, said.reason, forwarded) == ([403], "tool_unknown", 0)


async def test_the_name_itself_may_be_encoded_in_its_header(front: Front) -> None:
    said, forwarded = await front.forwarded(calling(front, "read_balance"))
    assert (said.statuses, forwarded) == ([200], 1)
    assert front.upstream.heads[-1]["mcp-name"] == "read_balance"
