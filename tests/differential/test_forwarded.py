"""What is forwarded has one meaning: the gateway, Python's ``json``, msgspec and Node read the same value from it, and
the same as from what the client sent, however it was spelled."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Route
from gateway.protocols import mcp
from gateway.protocols.base import Incoming
from gateway.protocols.jsonrpc import dump_json, parse_json
from tests.differential.readers import Node, assert_one_meaning
from tests.peers.parts import require
from tests.wire.mcp_calls import call, headers_of

LIMITS = Limits()
ROUTE = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.sampled_from(["0", "-0", "-0.0", "1.0", "1e2", "1E+2", "1e-7", "5e-324", "1.7976931348623157e308", "1e-400"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?\Z"),
)
CHARACTERS = st.characters(exclude_categories=["Cs"])
NAMES = st.one_of(st.text(CHARACTERS, max_size=6), st.sampled_from(["__proto__", "constructor", "0", "1", "", "\0"]))
SPACES = st.sampled_from(["", "", " ", "\n", "\t\r\n "])


@st.composite
def strings(draw: st.DrawFn, text: st.SearchStrategy[str]) -> str:
    """A JSON string in which any character may be escaped, in any of the ways there are."""
    found = []
    for char in draw(text):
        units = [char.encode("utf-16-be")[at : at + 2].hex() for at in range(0, len(char.encode("utf-16-be")), 2)]
        escaped = "".join(f"\\u{unit.upper() if draw(st.booleans()) else unit}" for unit in units)
        must = char < " " or char in '"\\'
        found.append(escaped if must or draw(st.integers(0, 3)) == 0 else f"\\{char}" if char == "/" else char)
    return f'"{"".join(found)}"'


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    @st.composite
    def spelled(draw: st.DrawFn) -> str:
        names = draw(st.lists(NAMES, unique=True, max_size=4))
        gap = draw(SPACES)
        members = (f"{gap}{draw(strings(st.just(name)))}{gap}:{gap}{draw(values)}{gap}" for name in names)
        return f"{{{','.join(members)}}}"

    return spelled()


TEXTS = st.recursive(
    st.one_of(NUMBERS, strings(st.text(CHARACTERS, max_size=8)), st.sampled_from(["null", "true", "false"])),
    lambda inner: st.one_of(objects(inner), st.lists(inner, max_size=4).map(lambda each: f"[{', '.join(each)}]")),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    found = Node(require("node"))
    yield found
    found.close()


@given(TEXTS)
def test_any_value_that_is_taken_has_one_meaning(node: Node, text: str) -> None:
    sent = text.encode()
    try:
        value = parse_json(sent, LIMITS)
    except ProtocolError:
        return
    assert_one_meaning(sent, dump_json(value), node)


@given(objects(TEXTS))
def test_what_a_tool_gets_is_what_was_sent(node: Node, arguments: str) -> None:
    message = call("read_balance", mark=0)
    sent = json.dumps(message).replace('{"mark": 0}', arguments).encode()
    headers = {name.lower(): value for name, value in headers_of(message).items()}
    try:
        parsed = mcp.parse(Incoming("POST", "", headers, {}, sent), ROUTE, LIMITS, {})
    except ProtocolError:
        return
    assert_one_meaning(sent, mcp.encode(parsed, session=None, trace={}).body, node)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_have_one_meaning(text: bytes) -> None:
    one_meaning_or_refused(text)


DIFFERENT: list[bytes] = [
    b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b"[NaN]", b"[1e999]", b"[18446744073709551616]", b'["\\ud800"]',
    b"\xef\xbb\xbf[]", b"[1] [2]", b"[1,]", b"[01]", b"[1.]", b"[+1]", b"['a']", b"[/*x*/1]", b'["\t"]', b'["\xff"]',
    b'["\xed\xa0\x80"]', b"[\x0c1]", b"\xa0[]",
]  # fmt: skip


@pytest.mark.parametrize("text", DIFFERENT)
def test_what_readers_take_differently_is_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_json(text, LIMITS)


def one_meaning_or_refused(text: bytes, node: Node | None = None) -> Any:
    """The property itself, for the fuzzer too."""
    try:
        value = parse_json(text, LIMITS)
    except ProtocolError:
        return None
    assert_one_meaning(text, dump_json(value), node)
    return value
