"""A client's webhook for A2A push notifications, and the policies by which it may be set and notified."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from a2a.types import AuthenticationInfo, TaskPushNotificationConfig
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.store.query import Found
from tests.company import Company
from tests.gateways import listening
from tests.ports import free_port

PUSH = """
@id("webhooks-of-ones-own")
permit (
  principal,
  action in [
    Action::"createPushConfig", Action::"getPushConfig", Action::"listPushConfigs", Action::"deletePushConfig"
  ],
  resource is Agent
);
"""
NOTIFY = """
@id("agents-notify-who-asked")
permit (principal is Agent, action == Action::"notify", resource is Agent);
"""


@dataclass
class Receiver:
    """A client's webhook."""

    port: int
    status: int = 200
    host: str = "127.0.0.1"
    seen: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    """Headers and body of each notification."""
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}/hook?for=me"

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(self.seen) >= count)

    async def take(self, request: Request) -> Response:
        assert str(request.url.query) == "for=me"
        async with self.arrived:
            self.seen.append((dict(request.headers), await request.json()))
            self.arrived.notify_all()
        return RedirectResponse("https://127.0.0.1:1/") if self.status == 307 else Response(status_code=self.status)


@asynccontextmanager
async def receiving(company: Company, status: int = 200) -> AsyncIterator[Receiver]:
    receiver, files = Receiver(free_port(), status), company.svid("server/hook")
    config = uvicorn.Config(
        Starlette(routes=[Route("/hook", receiver.take, methods=["POST"])]),
        host="127.0.0.1",
        port=receiver.port,
        log_level="warning",
        ssl_certfile=str(files.certificate),
        ssl_keyfile=str(files.key),
    )
    async with listening(config):
        yield receiver


def config_for(receiver: Receiver, **members: Any) -> TaskPushNotificationConfig:
    authentication = AuthenticationInfo(scheme="Bearer", credentials="for-the-hook")
    return TaskPushNotificationConfig(url=receiver.url, token="known-by-this", authentication=authentication, **members)


def last(company: Company, action: str) -> Found:
    return [found for found in company.records() if found.record.action == action][-1]
