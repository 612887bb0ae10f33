"""Attack 16: JSON that is huge, deep or odd: what readers take differently, or choke on."""

import time

import pytest

from gateway.core.errors import ProtocolError, UpstreamError
from gateway.core.limits import Limits
from gateway.core.model import Route
from gateway.core.reasons import Reason
from gateway.protocols import a2a, mcp
from gateway.protocols.base import Incoming
from gateway.protocols.jsonrpc import dump_json, parse_answer, parse_json

LEDGER = Route("mcp", "ledger", "/mcp/ledger", "https://gw.test/mcp/ledger", "https://ledger.test/")
ANALYST = Route("a2a", "analyst", "/a2a/analyst", "https://gw.test/a2a/analyst", "https://analyst.test/")
LIMITS = Limits()
HEADERS = {
    "content-type": "application/json", "accept": "*/*", "mcp-session-id": "s",
    "mcp-protocol-version": "2025-11-25", "a2a-version": "1.0",
}  # fmt: skip
PLENTY = LIMITS.body_bytes

ODD = {
    "nan": b"NaN",
    "infinity": b"Infinity",
    "minus infinity": b"-Infinity",
    "overflow": b"1e999",
    "negative overflow": b"-1e999",
    "5000 digits": b"1" * 5000,
    "5000 digits below zero": b"-" + b"1" * 5000,
    "beyond 64 bits": b"9223372036854775808",
    "megabytes of digits": b"9" * (PLENTY - 200),
    "leading zero": b"01",
    "plus": b"+1",
    "hex": b"0x1",
    "bare point": b"1.",
    "fullwidth digits": "１".encode(),
    "lone high surrogate": b'"\\ud800"',
    "lone low surrogate": b'"\\udc00x"',
    "swapped surrogates": b'"\\udc00\\ud800"',
    "lone surrogate as a key": b'{"\\ud800":1}',
    "encoded surrogate": b'"\xed\xa0\x80"',
    "overlong encoding": b'"\xc0\xaf"',
    "bad utf-8": b'"\xff"',
    "raw control character": b'"a\x00b"',
    "raw newline": b'"a\nb"',
    "single quotes": b"'a'",
    "comment": b"1/*x*/",
    "trailing comma": b"[1,]",
    "bad escape": b'"\\x41"',
    "deep arrays": b"[" * 65 + b"]" * 65,
    "deep objects": b'{"a":' * 100 + b"1" + b"}" * 100,
    "very deep": b"[" * 100_000 + b"]" * 100_000,
    "never closed": b"[" * 1_000_000,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_in_arguments(odd: bytes) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"x":' + odd + b"}}}"
    began = time.perf_counter()
    with pytest.raises(ProtocolError) as caught:
        mcp.parse(Incoming("POST", "", HEADERS, {}, body), LEDGER, LIMITS)
    assert (caught.value.reason, caught.value.code) == (Reason.BODY_MALFORMED, -32700)
    assert len(str(caught.value)) < 200
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_in_a_message_to_an_agent(odd: bytes) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"metadata":{"x":' + odd + b"}}}}"
    with pytest.raises(ProtocolError) as caught:
        a2a.parse(Incoming("POST", "", HEADERS, {}, body), ANALYST, LIMITS)
    assert caught.value.reason is Reason.BODY_MALFORMED


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_in_an_upstreams_answer(odd: bytes) -> None:
    with pytest.raises(UpstreamError):
        parse_answer(b'{"jsonrpc":"2.0","id":1,"result":{"x":' + odd + b"}}", LIMITS)


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "ebcdic-cp-be"])
def test_other_encodings(codec: str) -> None:
    body = '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"+é"}}'.encode(codec)
    with pytest.raises(ProtocolError):
        parse_json(body, LIMITS)


def test_what_is_kept_is_sent_as_every_reader_keeps_it() -> None:
    kept = b'{"a":9223372036854775807,"b":-9223372036854775808,"c":0.1,"d":1.0,"e":1e+300,"f":"\\ud83d\\ude00\\u0000"}'
    sent = dump_json(parse_json(kept, LIMITS))
    assert sent.startswith(b'{"a":9223372036854775807,"b":-9223372036854775808,"c":0.1,"d":1.0,"e":1e+300,"f":')
    assert parse_json(sent, LIMITS) == parse_json(kept, LIMITS)


def test_a_full_body_of_small_things_is_read_in_reasonable_time() -> None:
    body = b"[" + b'[],{},0.1,"\\u00e9",' * (1_000_000 // 18) + b"0]"
    began = time.perf_counter()
    parse_json(body, LIMITS)
    assert time.perf_counter() - began < 5
