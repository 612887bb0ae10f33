import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import UpstreamError
from gateway.core.reasons import Reason
from gateway.protocols.sse import BREAKS, Comment, Event, Frame, SseParser, encode_comment, encode_event, encode_message

LIMIT = 4096
LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="".join(BREAKS) + "\0"), max_size=20)
EVENTS = st.builds(
    Event,
    data=st.lists(LINE, min_size=1, max_size=4).map("\n".join),
    name=LINE.filter(bool),
    id=st.none() | LINE,
    retry=st.none() | st.integers(0, 999_999_999),
)
WIRE = st.lists(
    st.sampled_from(
        [
            b"data",
            b":",
            b" ",
            b"\r",
            b"\n",
            b"\r\n",
            b"id",
            b"event",
            b"retry",
            b"x",
            b"1",
            b"\xef\xbb\xbf",
            b"\0",
            b"\xc3\xa9",
        ]
    ),
    max_size=40,
).map(b"".join)


def parse(*chunks: bytes) -> list[Frame]:
    parser = SseParser(LIMIT)
    return [frame for chunk in chunks for frame in parser.feed(chunk)]


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(wire) + 1) for place in places), len(wire)]
    return [wire[start:end] for start, end in pairwise(edges)]


@given(WIRE, st.lists(st.integers(0, 10_000), max_size=8))
@example(b"data: a\r\n\r\ndata: b\r\r", [8, 9, 10])
@example(b"data: a\rdata: b\r\n\n", [8])
@example(b"data: a\r\nid: 1\r\n\r\n", [8])
def test_chunks_make_no_difference(wire: bytes, places: list[int]) -> None:
    assert parse(*cut(wire, places)) == parse(wire)
    assert parse(*(bytes([byte]) for byte in wire)) == parse(wire)


@given(st.lists(EVENTS, max_size=4), st.lists(st.integers(0, 10_000), max_size=8))
def test_what_is_written_is_read_again(events: list[Event], places: list[int]) -> None:
    wire = b"".join(map(encode_event, events))
    assert parse(*cut(wire, places)) == events


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
@example("\u2028event: error\u2029data: {}\x85\x85\r\n\r\ndata: x")
def test_a_message_is_one_event_for_every_reader(value: object) -> None:
    wire = encode_message(value)
    (event,) = parse(wire)
    assert isinstance(event, Event)
    assert json.loads(event.data) == value
    assert [line.partition(":")[0] for line in wire.decode().splitlines()] == ["data", ""]


@pytest.mark.parametrize("char", sorted(BREAKS))
def test_no_field_can_smuggle_a_line(char: str) -> None:
    for event in (Event("x", name=f"a{char}data: b"), Event("x", id=f"1{char}data: b")):
        with pytest.raises(ValueError, match="line break"):
            encode_event(event)
    with pytest.raises(ValueError, match="line break"):
        encode_comment(f"x{char}data: b")
    if char != "\n":
        with pytest.raises(ValueError, match="line break"):
            encode_event(Event(f"x{char}event: error"))


def test_a_nul_in_an_id_is_neither_read_nor_written() -> None:
    assert parse(b"id: a\0b\ndata: x\n\n") == [Event("x")]
    with pytest.raises(ValueError, match="NUL"):
        encode_event(Event("x", id="a\0b"))


def test_the_standards_examples() -> None:
    wire = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert parse(wire) == [
        Comment("test stream"),
        Event("first event", id="1"),
        Event("second event", id=""),
        Event(" third event"),
    ]
    assert parse(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [Event("YHOO\n+2\n10")]
    assert parse(b"data\n\ndata\ndata\n\ndata:") == [Event(""), Event("\n")]
    assert parse(b"\xef\xbb\xbfdata: bom\n\n") == [Event("bom")]
    assert parse(b"event: add\ndata: 73857293\n\n") == [Event("73857293", name="add")]


def test_priming_and_unknown_fields() -> None:
    assert parse(b"id: 7\nretry: 500\ndata:\n\n") == [Event("", id="7", retry=500)]
    assert parse(b"foo: bar\nevent: lonely\n\n") == []
    assert parse("retry: ٣\nretry: -1\nretry: 9999999999\ndata: x\n\n".encode()) == [Event("x")]


def test_an_unfinished_event_is_pending() -> None:
    parser = SseParser(LIMIT)
    assert list(parser.feed(b"data: a\n")) == []
    assert parser.pending
    assert list(parser.feed(b"\n")) == [Event("a")]
    assert not parser.pending


@pytest.mark.parametrize(
    "chunk", [b"data: " + b"x" * LIMIT, b"data: xxxx\n" * (LIMIT // 10 + 1), b":" + b"x" * LIMIT, b"x\n" * (LIMIT + 1)]
)
def test_an_event_is_bounded(chunk: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        parse(*[chunk[at : at + 7] for at in range(0, len(chunk), 7)])
    assert caught.value.reason is Reason.UPSTREAM_TOO_LARGE


def test_the_bound_is_for_one_event_not_for_the_stream() -> None:
    one = encode_event(Event("x" * (LIMIT // 2))) + encode_comment("y" * (LIMIT // 2))
    assert len(parse(*[one] * 10)) == 20
    assert len(parse(b": still there\n" * LIMIT)) == LIMIT


def test_text_that_is_not_utf8_is_an_error() -> None:
    with pytest.raises(UpstreamError) as caught:
        parse(b"data: \xff\n\n")
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_an_upstream_error(wire: bytes) -> None:
    try:
        frames = parse(wire)
    except UpstreamError as error:
        assert error.reason is Reason.UPSTREAM_MALFORMED
    else:
        assert all(isinstance(frame, Event | Comment) for frame in frames)
