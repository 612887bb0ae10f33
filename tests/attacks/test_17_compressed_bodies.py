"""Attack 17: a compressed body, that is small until it is read (a bomb), or that only one reader unpacks."""

import gzip
import json
import zlib

import pytest

from tests.attacks.front import BODY, READ, Front

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOMB = gzip.compress(json.dumps({**READ, "params": {**READ["params"], "x": "0" * 50_000_000}}).encode())


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("gzip", BOMB),
        ("x-gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("br", b"\x0b\x02\x80\x03"),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("identity, gzip", gzip.compress(BODY)),
        ("gzip, identity", BODY),
        ("GZIP", gzip.compress(BODY)),
        ("gzip", BODY),
        ("unheard-of", BODY),
        ("", BODY),
    ],
)
async def test_a_coded_body_is_refused(front: Front, coding: str, body: bytes) -> None:
    said, forwarded = await front.forwarded(front.request(("Content-Encoding", coding), body=body))
    assert (said.statuses, said.reason, forwarded) == ([415], "content_type", 0)


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate, chunked", "gzip", "chunked, gzip"])
async def test_a_coding_of_the_transfer_is_refused(front: Front, coding: str) -> None:
    packed = gzip.compress(BODY)
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    said, forwarded = await front.forwarded(front.request(("Transfer-Encoding", coding), framed=False, body=chunk))
    assert forwarded == 0
    assert len(said.statuses) == 1
    assert said.statuses[0] in (400, 415)


@pytest.mark.parametrize("body", [gzip.compress(BODY), zlib.compress(BODY), BOMB])
async def test_an_undeclared_one_is_no_json(front: Front, body: bytes) -> None:
    said, forwarded = await front.forwarded(front.request(body=body))
    assert (said.statuses, said.reason, forwarded) == ([400], "body_malformed", 0)


async def test_identity_is_no_coding(front: Front) -> None:
    said, forwarded = await front.forwarded(front.request(("Content-Encoding", "identity")))
    assert (said.statuses, forwarded) == ([200], 1)
    assert "content-encoding" not in front.upstream.heads[-1]
