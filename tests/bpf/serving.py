"""The API for tests, listening for real: on its socket, and over mutual TLS where a certificate is given."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from hopgate_bpf.api.handlers import Handlers
from hopgate_bpf.api.server import Server
from hopgate_bpf.node.events import EventLog
from hopgate_bpf.node.node import Node
from tests.bpf.nodes import Place


@dataclass
class Api:
    place: Place
    node: Node
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.session.request(method, f"http://hopgate-bpf{path}", **more) as response:
            body = await response.json(content_type=None)
            if response.status >= 400:
                assert response.content_type == "application/problem+json"
                assert body["status"] == response.status
            return response.status, body

    async def push(self, jws: bytes) -> tuple[int, Any]:
        return await self.ask("PUT", "/v1/rules", data=jws, headers={"Content-Type": "application/jose"})

    async def register(self, name: str, *cgroups: str) -> tuple[int, Any]:
        return await self.ask("PUT", f"/v1/classes/{name}/cgroups", json={"cgroups": list(cgroups)})


@asynccontextmanager
async def serving(place: Place) -> AsyncIterator[Api]:
    settings = place.settings
    node = await place.started()
    events = EventLog(
        place.kernel, node.policy_of, lambda: 1.5, settings.limits.events_kept, settings.limits.event_streams
    )
    server = Server(settings, Handlers(node, events, settings.limits).answer)
    await server.start()
    connector = aiohttp.UnixConnector(str(place.folder / "api.sock"))
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20)) as session:
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(events.read())
                looking = group.create_task(node.shadows.follow(events.add))
                yield Api(place, node, session)
                reading.cancel()
                looking.cancel()
        finally:
            await server.stop()
