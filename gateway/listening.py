"""What all listeners read of a request in the same way, by their HTTP library: its headers, and its body within limits.

Decides framing only. Who may call, and what an answer looks like, is each listener's.
"""

import asyncio

from aiohttp import web

from gateway.core.errors import HopError
from gateway.core.reasons import Reason


def headers_of(request: web.BaseRequest) -> list[tuple[str, str]]:
    """Every header as it came, names in lower case; what came twice is there twice."""
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.raw_headers]


async def read_body(request: web.BaseRequest, most: int, seconds: float) -> bytes:
    """The whole body, of at most ``most`` bytes.

    Raises:
        HopError: BODY_TOO_LARGE, BODY_SLOW, CLIENT_CLOSED.
    """
    too_large = HopError(Reason.BODY_TOO_LARGE, f"the limit is {most} bytes")
    if (request.content_length or 0) > most:
        raise too_large
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise HopError(Reason.BODY_SLOW, f"the body did not end within {seconds:g} s") from None
    except web.RequestPayloadError:
        raise HopError(Reason.CLIENT_CLOSED, "the connection closed within the body") from None
    return bytes(body)
