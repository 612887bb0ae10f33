"""What each path of the API does, once the caller is known.

Decides form of requests and answers; what is applied and why not is ``node``'s.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from hopgate_bpf.api.problem import problem
from hopgate_bpf.node.accepting import most_jws_bytes
from hopgate_bpf.node.events import EventLog
from hopgate_bpf.node.node import Node
from hopgate_bpf.node.settings import LimitSettings
from hopgate_bpf.rules.refusal import Reason, RefusedError

JWS_TYPE = "application/jose"
JSON_TYPE = "application/json"
LINES_TYPE = "application/jsonl"
MAX_CGROUPS_BYTES = 2**20
LOOK_SECONDS = 5.0
"""Between looks whether a silent stream is still listened to."""
_CLASS = re.compile(r"/v1/classes/([^/]+)/cgroups")
_CLASS_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,63}")

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Cgroups(Struct, frozen=True, forbid_unknown_fields=True):
    cgroups: tuple[Annotated[str, Meta(pattern="^/[^\\x00]{0,4000}$")], ...]


class Handlers:
    """The API. ``answer`` never raises for what a caller did."""

    def __init__(self, node: Node, events: EventLog, limits: LimitSettings) -> None:
        self._node = node
        self._events = events
        self._limits = limits
        self._running = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to one request, of a caller who may ask."""
        try:
            return await self._route(request)
        except RefusedError as refused:
            return problem(refused)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path
        methods = self._methods(path)
        if methods is None:
            raise RefusedError(Reason.NOT_FOUND, "no such path")
        handle = methods.get(request.method)
        if handle is None:
            allowed = ", ".join(sorted(methods))
            raise RefusedError(Reason.METHOD_NOT_ALLOWED, f"the path takes {allowed}", allowed)
        if path == "/v1/events":
            return await handle(request)
        if self._running >= self._limits.requests:
            raise RefusedError(Reason.BUSY, f"{self._limits.requests} requests are under way")
        self._running += 1
        try:
            return await handle(request)
        finally:
            self._running -= 1

    def _methods(self, path: str) -> Mapping[str, Handle] | None:
        if _CLASS.fullmatch(path):
            return {"PUT": self._register}
        known: dict[str, Mapping[str, Handle]] = {
            "/v1/rules": {"PUT": self._push},
            "/v1/status": {"GET": self._status},
            "/v1/events": {"GET": self._stream},
        }
        return known.get(path)

    async def _push(self, request: web.BaseRequest) -> web.StreamResponse:
        _require_type(request, JWS_TYPE)
        body = await self._body(request, most_jws_bytes(self._limits.document_bytes))
        return _json(await self._node.push(body))

    async def _status(self, request: web.BaseRequest) -> web.StreamResponse:
        return _json(await self._node.status())

    async def _register(self, request: web.BaseRequest) -> web.StreamResponse:
        _require_type(request, JSON_TYPE)
        found = _CLASS.fullmatch(request.rel_url.raw_path)
        name = unquote(found[1]) if found else ""
        if not _CLASS_NAME.fullmatch(name):
            raise RefusedError(Reason.NOT_FOUND, "no class has such a name")
        body = await self._body(request, MAX_CGROUPS_BYTES)
        try:
            wanted = msgspec.json.decode(body, type=_Cgroups)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message, _, place = str(error).partition(" - at ")
            raise RefusedError(Reason.CGROUPS_MALFORMED, message[:300], place.strip("`") or "$") from None
        registered = await self._node.register(name, wanted.cgroups)
        return _json({"class": name, "cgroups": registered, "has_rules": self._node.has_rules(name)})

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        after = request.rel_url.query.get("after")
        if after is not None and not re.fullmatch(r"[0-9]{1,18}", after):
            raise RefusedError(Reason.HTTP_MALFORMED, "after is the number of an event")
        with self._events.opened(None if after is None else int(after)) as stream:
            response = web.StreamResponse(headers={"Content-Type": LINES_TYPE, "Cache-Control": "no-store"})
            await response.prepare(request)
            with suppress(ConnectionError):
                while request.transport is not None and not request.transport.is_closing():
                    if lines := await stream.more(LOOK_SECONDS):
                        await response.write(b"".join(lines))
        return response

    async def _body(self, request: web.BaseRequest, most: int) -> bytes:
        """The whole body.

        Raises:
            RefusedError: BODY_TOO_LARGE, BODY_SLOW, HTTP_MALFORMED.
        """
        too_large = RefusedError(Reason.BODY_TOO_LARGE, f"the limit is {most} bytes")
        if (request.content_length or 0) > most:
            raise too_large
        if "Content-Encoding" in request.headers:
            raise RefusedError(Reason.CONTENT_TYPE, "a body is read as it is, not encoded")
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for piece in request.content.iter_any():
                    body += piece
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise RefusedError(Reason.BODY_SLOW, f"it did not end within {self._limits.body_seconds:g} s") from None
        except web.RequestPayloadError:
            raise RefusedError(Reason.HTTP_MALFORMED, "the connection closed within the body") from None
        return bytes(body)


def _require_type(request: web.BaseRequest, wanted: str) -> None:
    if request.content_type != wanted:
        raise RefusedError(Reason.CONTENT_TYPE, f"the Content-Type is not {wanted}")


def _json(answer: Any) -> web.Response:
    headers = {"Content-Type": JSON_TYPE, "Cache-Control": "no-store"}
    return web.Response(body=msgspec.json.encode(answer), headers=headers)
