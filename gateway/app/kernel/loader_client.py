"""One loader's API as the gateway uses it: on its unix socket, or over mutual TLS for its pinned SPIFFE ID.

Whatever a loader answers is bounded and read strictly; it decides nothing here. What is pushed is ``push``'s.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from msgspec import Struct

from gateway.config.kernel_settings import LoaderSettings
from gateway.core.kernel.standing import LoaderStatus
from gateway.core.model import SpiffeId
from gateway.identity.material import MaterialError
from gateway.identity.peers import Client

ANSWER_BYTES = 4 * 1024 * 1024
LINE_BYTES = 16 * 1024
SILENT_SECONDS = 60.0
"""A stream of events that says nothing for so long is opened anew: its other end may be gone."""
DETAIL_CHARS = 300
T = TypeVar("T")


class LoaderError(Exception):
    """The loader could not be asked, or said no. ``reason``: its own code; empty where it didn't say one."""

    def __init__(self, detail: str, reason: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason


class Acknowledged(Struct, frozen=True):
    """What a push was answered with."""

    node: str
    generation: int
    sha256: str


class _Problem(Struct, frozen=True):
    reason: str = ""
    detail: str = ""
    title: str = ""


class LoaderClient:
    """Asks one loader; a new connection each time, since its certificate and ours may have changed."""

    def __init__(self, settings: LoaderSettings, client: Client, seconds: float) -> None:
        self._settings = settings
        self._client = client
        self._seconds = seconds

    async def status(self) -> LoaderStatus:
        """What it says of itself.

        Raises:
            LoaderError: it can't be asked.
        """
        return await self._ask("GET", "/v1/status", LoaderStatus)

    async def push(self, jws: bytes) -> Acknowledged:
        """Put the rules in ``jws`` in force there.

        Raises:
            LoaderError: it didn't say that they are.
        """
        return await self._ask("PUT", "/v1/rules", Acknowledged, jws, "application/jose")

    async def register(self, class_name: str, cgroups: tuple[str, ...]) -> None:
        """Make ``cgroups`` those of the class, and no others.

        Raises:
            LoaderError: it didn't say that they are.
        """
        path = f"/v1/classes/{quote(class_name, safe='')}/cgroups"
        await self._ask("PUT", path, dict[str, Any], msgspec.json.encode({"cgroups": cgroups}), "application/json")

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of its events: those that it still keeps, then each as it comes. A line too long is cut to nothing.

        Raises:
            LoaderError: the stream can't be had, or broke.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._seconds, sock_read=SILENT_SECONDS)
        try:
            async with (
                self._session(timeout) as session,
                session.get(f"{self._base}/v1/events?after=0", **self._request()) as response,
            ):
                if response.status != 200:
                    raise self._refusal(response.status, await self._body(response))
                yield _lines(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError, MaterialError) as error:
            raise LoaderError(_cause(error)) from None

    async def _ask(self, method: str, path: str, kind: type[T], body: bytes | None = None, form: str = "") -> T:
        headers = {"Content-Type": form} if body is not None else {}
        timeout = aiohttp.ClientTimeout(total=self._seconds)
        try:
            async with self._session(timeout) as session:
                url = f"{self._base}{path}"
                async with session.request(method, url, data=body, headers=headers, **self._request()) as response:
                    status, said = response.status, await self._body(response)
        except (aiohttp.ClientError, TimeoutError, OSError, MaterialError) as error:
            raise LoaderError(_cause(error)) from None
        if status != 200:
            raise self._refusal(status, said)
        return _read(said, kind)

    @property
    def _base(self) -> str:
        return "http://hopgate-bpf" if self._settings.url is None else self._settings.url.rstrip("/")

    def _session(self, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
        connector = None
        if self._settings.socket is not None:
            connector = aiohttp.UnixConnector(self._settings.socket)
        return aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, trust_env=False, read_bufsize=LINE_BYTES * 4
        )

    def _request(self) -> dict[str, Any]:
        more: dict[str, Any] = {"allow_redirects": False}
        if self._settings.spiffe_id is not None:
            more["ssl"] = self._client().context(SpiffeId(self._settings.spiffe_id))
        return more

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > ANSWER_BYTES:
                raise LoaderError(f"its answer is larger than {ANSWER_BYTES} bytes")
        return bytes(body)

    def _refusal(self, status: int, body: bytes) -> LoaderError:
        try:
            said = msgspec.json.decode(body, type=_Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = _Problem()
        text = said.detail or said.title or "no reason given"
        return LoaderError(f"{status} {said.reason[:60]}: {text[:DETAIL_CHARS]}", said.reason[:60])


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    held, skipping = bytearray(), False
    while piece := await _piece(content):
        held += piece
        *whole, rest = held.split(b"\n")
        for line in whole:
            yield b"" if skipping or len(line) > LINE_BYTES else bytes(line)
            skipping = False
        held = bytearray(rest)
        if len(held) > LINE_BYTES:
            held, skipping = bytearray(), True


async def _piece(content: aiohttp.StreamReader) -> bytes:
    """The next bytes; none at the end, and after a long silence."""
    try:
        return await content.readany()
    except TimeoutError:
        return b""


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LoaderError(f"its answer can't be read: {str(error)[:DETAIL_CHARS]}") from None


def _cause(error: Exception) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "it didn't answer in time"
    return f"{type(error).__name__}: {error}"[:DETAIL_CHARS]
