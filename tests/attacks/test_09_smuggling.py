"""Attack 9: a request that two readers frame differently, so that a second one hides in it.

Whatever comes in, what is forwarded is exactly the one request that was decided, framed by the gateway itself;
a request whose framing could be read in two ways is refused and its connection closed.
"""

import re

import pytest

from tests.attacks.front import BODY, PATH, SMUGGLED, Front, head

pytestmark = pytest.mark.asyncio(loop_scope="module")

LENGTH = ("Content-Length", str(len(BODY)))
CHUNKED = ("Transfer-Encoding", "chunked")
ONE_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)

REFUSED: dict[str, tuple[list[tuple[str, str]], bytes]] = {
    "CL.TE": ([LENGTH, CHUNKED], b"0\r\n\r\n" + SMUGGLED),
    "TE.CL": ([CHUNKED, ("Content-Length", "4")], ONE_CHUNK + SMUGGLED),
    "TE.TE, the second unknown": ([CHUNKED, ("Transfer-Encoding", "x-chunked")], ONE_CHUNK),
    "TE.TE, twice chunked": ([CHUNKED, CHUNKED], ONE_CHUNK),
    "chunked not last": ([("Transfer-Encoding", "chunked, identity")], ONE_CHUNK),
    "an unknown coding": ([("Transfer-Encoding", "xchunked")], ONE_CHUNK),
    "a quoted coding": ([("Transfer-Encoding", '"chunked"')], ONE_CHUNK),
    "a vertical tab before the coding": ([("Transfer-Encoding", "\x0bchunked")], ONE_CHUNK),
    "a space before the colon": ([("Transfer-Encoding ", "chunked"), LENGTH], ONE_CHUNK),
    "two lengths": ([LENGTH, ("Content-Length", "0")], BODY),
    "one length twice": ([LENGTH, LENGTH], BODY),
    "a list of lengths": ([("Content-Length", f"{len(BODY)}, {len(BODY)}")], BODY),
    "a signed length": ([("Content-Length", f"+{len(BODY)}")], BODY),
    "a negative length": ([("Content-Length", "-1")], BODY),
    "a hexadecimal length": ([("Content-Length", f"0x{len(BODY):x}")], BODY),
    "a length with an underscore": ([("Content-Length", "1_0")], BODY),
    "a length beyond 64 bits": ([("Content-Length", "9" * 30)], BODY),
    "an empty length": ([("Content-Length", "")], BODY),
    "a length folded": ([("Content-Length", f"\r\n {len(BODY)}")], BODY),
    "a header folded": ([("X-Folded", "one\r\n two"), LENGTH], BODY),
    "two hosts": ([("Host", "127.0.0.1"), LENGTH], BODY),
    "a bare CR in a value": ([("X-Bare", "a\rTransfer-Encoding: chunked"), LENGTH], BODY),
    "a NUL in a value": ([("X-Bare", "a\0b"), LENGTH], BODY),
    "a header without a name": ([("", "x"), LENGTH], BODY),
    "a header name with a space": ([("X Bare", "x"), LENGTH], BODY),
    "a length that is too small": ([("Content-Length", str(len(BODY) - 1))], BODY),
    "no length": ([], BODY),
    "a chunk size with a sign": ([CHUNKED], b"+%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk size with 0x": ([CHUNKED], b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk size with an underscore": ([CHUNKED], b"0_%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk size beyond 64 bits": ([CHUNKED], b"1%032x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk longer than its size": ([CHUNKED], b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY) - 2, BODY)),
    "a chunk ended by LF": ([CHUNKED], b"%x\n%b\n0\n\n" % (len(BODY), BODY)),
    "a bare CR after a chunk size": ([CHUNKED], b"%x\r%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a bare LF in a chunk extension": ([CHUNKED], b"%x;a\nb\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "an unended chunked body": ([CHUNKED], b"%x\r\n%b\r\n" % (len(BODY), BODY)),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_request_of_two_readings_is_none(front: Front, case: str) -> None:
    headers, body = REFUSED[case]
    said, forwarded = await front.forwarded(front.request(*headers, framed=False, body=body))
    assert forwarded == 0
    assert len(said.statuses) == 1, said.raw
    assert said.statuses[0] in (400, 408, 413), said.raw


LINES = {
    "another version": f"POST {PATH} HTTP/2.0",
    "an old version": f"POST {PATH} HTTP/0.9",
    "no version": f"POST {PATH}",
    "a tab": f"POST\t{PATH} HTTP/1.1",
    "a header in the line": f"POST {PATH} HTTP/1.1\rX: y",
    "a lower-case version": f"POST {PATH} http/1.1",
    "a version with a tail": f"POST {PATH} HTTP/1.1 HTTP/1.1",
    "a method with a tail": f"POST: {PATH} HTTP/1.1",
    "a target with a tail": f"POST {PATH} x HTTP/1.1",
}


@pytest.mark.parametrize("line", LINES)
async def test_a_request_line_of_two_readings_is_none(front: Front, line: str) -> None:
    said, forwarded = await front.forwarded(head(LINES[line], [*front.headers(), LENGTH]) + BODY)
    assert forwarded == 0
    assert said.statuses == [400], said.raw


@pytest.mark.parametrize("broken", [b"\n", b"\r"])
async def test_lines_that_end_otherwise_are_none(front: Front, broken: bytes) -> None:
    said, forwarded = await front.forwarded(front.request().replace(b"\r\n", broken))
    assert (forwarded, [s for s in said.statuses if s < 300]) == (0, [])


HONEST = {
    "a length": ([LENGTH], BODY),
    "chunks": ([CHUNKED], ONE_CHUNK),
    "an extension and a trailer": ([CHUNKED], b"%x;a=b\r\n%b\r\n0\r\nX-Smuggled: 1\r\n\r\n" % (len(BODY), BODY)),
    "chunk sizes with zeros before": ([CHUNKED], b"000%x\r\n%b\r\n000\r\n\r\n" % (len(BODY), BODY)),
    "chunks of one byte": ([CHUNKED], b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"),
}


@pytest.mark.parametrize("case", HONEST)
async def test_an_honest_request_is_framed_anew(front: Front, case: str) -> None:
    headers, body = HONEST[case]
    said, forwarded = await front.forwarded(front.request(*headers, framed=False, body=body))
    assert (said.statuses, forwarded) == ([200], 1)
    sent, _, carried = front.upstream.requests[-1].partition(b"\r\n\r\n")
    assert re.findall(rb"content-length: (\d+)", sent.lower()) == [str(len(carried)).encode()]
    assert b"transfer-encoding" not in sent.lower()


async def test_two_requests_of_one_connection_are_decided_each(front: Front) -> None:
    first = front.request().replace(b"Connection: close\r\n", b"")
    forbidden = first.replace(b"read_balance", b"slow_balance")
    said, forwarded = await front.forwarded(first + forbidden + front.request())
    assert (said.statuses, forwarded) == ([200, 403, 200], 2)


async def test_what_follows_a_refused_request_is_not_read(front: Front) -> None:
    """The connection of an ambiguous request is closed: its rest can't become the next caller's request."""
    headers, body = REFUSED["CL.TE"]
    said, forwarded = await front.forwarded(front.request(*headers, framed=False, body=body) + front.request())
    assert forwarded == 0
    assert said.statuses == [400]


async def test_a_huge_head_is_refused_as_a_whole(front: Front) -> None:
    """The limit is the head's, not each line's."""
    many = [(f"X-Padding-{number}", "x" * 1000) for number in range(40)]
    said, forwarded = await front.forwarded(front.request(*many))
    assert (said.statuses, said.reason, forwarded) == ([400], "http_malformed", 0)


async def test_very_many_headers_are_refused(front: Front) -> None:
    said, forwarded = await front.forwarded(front.request(*[(f"X-{number}", "") for number in range(200)]))
    assert (said.statuses, forwarded) == ([400], 0)
