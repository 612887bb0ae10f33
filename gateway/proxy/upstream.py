"""Connections to upstreams. ``send`` takes a ``Grant``: forwarding without a decision is a type error.

The only file that knows the client's HTTP library. Headers are built here and by the protocol adapter
from the Call; nothing of the client's request is copied. Never follows redirects, keeps cookies,
decompresses, or sends a request twice.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from ssl import SSLContext
from typing import Literal

import aiohttp

from gateway.core.errors import UpstreamError
from gateway.core.limits import Limits
from gateway.core.model import Grant
from gateway.core.reasons import Reason
from gateway.core.registry import Upstream
from gateway.identity.rotation import ClientIdentity
from gateway.protocols.base import Outgoing

KEEPALIVE_SECONDS = 3.0
"""Shorter than common servers' own, so that a request is seldom written to a connection just closed."""

Kind = Literal["json", "sse", "empty", "other"]


class UpstreamAnswer:
    """An upstream's response head, and its body as it arrives. Close it always."""

    def __init__(self, response: aiohttp.ClientResponse, limits: Limits) -> None:
        self._response = response
        self._limits = limits
        self.status = response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers; look-ups ignore case."""
        return self._response.headers

    @property
    def kind(self) -> Kind:
        """What the body is, by its media type."""
        if self.status in (202, 204) or self._response.content_length == 0:
            return "empty"
        kinds: dict[str, Kind] = {"application/json": "json", "text/event-stream": "sse"}
        return kinds.get(self._response.content_type, "other")

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            UpstreamError: too large, too slow, or ended early.
        """
        body = bytearray()
        with translated():
            async with asyncio.timeout(self._limits.answer_seconds):
                async for piece in self.pieces(self._limits.answer_seconds):
                    body += piece
                    if len(body) > self._limits.answer_bytes:
                        detail = f"the limit is {self._limits.answer_bytes} bytes"
                        raise UpstreamError(Reason.UPSTREAM_TOO_LARGE, detail)
        return bytes(body)

    async def pieces(self, idle_seconds: float) -> AsyncIterator[bytes]:
        """The body as it arrives, unbuffered.

        Raises:
            UpstreamError: nothing for ``idle_seconds``, or the connection ended early.
        """
        content = self._response.content
        while True:
            with translated():
                async with asyncio.timeout(idle_seconds):
                    piece = await content.readany()
            if not piece:
                return
            yield piece

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        if self._response.content.is_eof():
            self._response.release()
        else:
            self._response.close()


class Upstreams:
    """Keep-alive connections, pooled by upstream address and identity, and never shared across."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, grant: Grant, upstream: Upstream, outgoing: Outgoing, client: ClientIdentity, limits: Limits
    ) -> UpstreamAnswer:
        """Forward what was granted; the answer's head.

        Raises:
            UpstreamError: unreachable, another identity than registered, too slow, or not HTTP.
        """
        if grant.minted is None:
            raise TypeError("a grant without a token, for an upstream that needs one")
        authorization = {"Authorization": f"Bearer {grant.minted.token}"}
        return await self._request(upstream, outgoing, authorization, _seen_by(upstream, client), limits)

    async def send_third_party(
        self,
        grant: Grant,
        upstream: Upstream,
        outgoing: Outgoing,
        credential: Mapping[str, str],
        context: SSLContext,
        limits: Limits,
    ) -> UpstreamAnswer:
        """As ``send``, to a server that is known by the web's certificates, with the header of its ``credential``.

        Raises:
            UpstreamError: as ``send``.
        """
        if grant.minted is not None or upstream.third_party is None:
            raise TypeError("a grant of a hop token, for an upstream that is none of ours")
        return await self._request(upstream, outgoing, credential, context, limits)

    async def redeem(
        self, grant: Grant, endpoint: Upstream, outgoing: Outgoing, client: ClientIdentity, limits: Limits
    ) -> UpstreamAnswer:
        """Ask a peer gateway's token endpoint for what ``grant``'s assertion, in the body, is worth there.

        Raises:
            UpstreamError: as ``send``.
        """
        return await self._request(endpoint, outgoing, {}, _seen_by(endpoint, client), limits)

    async def fetch_card(
        self, upstream: Upstream, outgoing: Outgoing, client: ClientIdentity, limits: Limits
    ) -> UpstreamAnswer:
        """The gateway's own request for an agent's card: carries no token and no caller's data."""
        return await self._request(upstream, outgoing, {}, _seen_by(upstream, client), limits)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def _request(
        self,
        upstream: Upstream,
        outgoing: Outgoing,
        extra: Mapping[str, str],
        context: SSLContext | Literal[False],
        limits: Limits,
    ) -> UpstreamAnswer:
        headers = [*outgoing.headers, *extra.items(), ("Accept-Encoding", "identity")]
        with translated():
            async with asyncio.timeout(limits.answer_seconds):
                response = await self._opened(limits).request(
                    outgoing.http_method,
                    upstream.url.rstrip("/") + outgoing.rest if outgoing.rest else upstream.url,
                    data=outgoing.body or None,
                    headers=headers,
                    allow_redirects=False,
                    # Connections are pooled by context, and a context is one upstream identity seen by one of ours.
                    ssl=context,
                    timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect_seconds),
                )
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()
            raise UpstreamError(Reason.UPSTREAM_MALFORMED, "the answer is compressed although identity was asked for")
        return UpstreamAnswer(response, limits)

    def _opened(self, limits: Limits) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=limits.header_bytes,
                max_field_size=limits.header_bytes,
            )
        return self._session


def _seen_by(upstream: Upstream, client: ClientIdentity) -> SSLContext | Literal[False]:
    return False if upstream.spiffe_id is None else client.context(upstream.spiffe_id)


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the HTTP library as UpstreamError, naming the likely cause."""
    try:
        yield
    except aiohttp.ClientSSLError as error:
        raise UpstreamError(Reason.UPSTREAM_IDENTITY, _cause(error)) from None
    except aiohttp.ClientConnectorError as error:
        raise UpstreamError(Reason.UPSTREAM_UNREACHABLE, _cause(error)) from None
    except TimeoutError as error:
        late = isinstance(error, aiohttp.ConnectionTimeoutError)
        raise UpstreamError(
            Reason.UPSTREAM_UNREACHABLE if late else Reason.UPSTREAM_TIMEOUT, "no connection" if late else "no answer"
        ) from None
    except (aiohttp.ServerConnectionError, aiohttp.ClientPayloadError, aiohttp.ClientOSError) as error:
        raise UpstreamError(Reason.UPSTREAM_RESET, type(error).__name__) from None
    except aiohttp.ClientError as error:
        raise UpstreamError(Reason.UPSTREAM_MALFORMED, type(error).__name__) from None


def _cause(error: aiohttp.ClientConnectorError) -> str:
    return f"{error.host}:{error.port}: {error.os_error.strerror or type(error.os_error).__name__}"
