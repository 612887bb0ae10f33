"""An A2A agent on the official SDK that does what its message says and remembers what reached it; and its clients."""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
import jwt
from a2a.client import A2ACardResolver, ClientConfig, create_client
from a2a.client.client import Client
from a2a.client.errors import A2AClientError
from a2a.helpers import get_text_parts, new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
    TaskUpdater,
)
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    Message,
    Role,
    SendMessageRequest,
    StreamResponse,
)
from a2a.utils.errors import UnsupportedOperationError
from mcp import MCPError
from mcp.client.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette

from tests.company import Company


@dataclass
class Agent:
    """``application`` is the ASGI app. ``step`` lets a task that said "steps" go on."""

    company: Company
    name: str
    headers: list[dict[str, str]] = field(default_factory=list)
    """Those of each JSON-RPC request that arrived."""
    bodies: list[bytes] = field(default_factory=list)
    """Theirs, in the same order."""
    texts: list[str] = field(default_factory=list)
    step: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def tokens(self) -> list[dict[str, Any]]:
        """Claims of the tokens that arrived, unverified."""
        bearers = [headers["authorization"].removeprefix("Bearer ") for headers in self.headers]
        return [jwt.decode(token, options={"verify_signature": False}) for token in bearers]

    @property
    def card(self) -> AgentCard:
        """The card with what a gateway must not publish as it stands: addresses, other bindings, extensions."""
        url = f"https://127.0.0.1:{self.company.upstreams[self.name]}/"
        interfaces = [("JSONRPC", "1.0"), ("GRPC", "1.0"), ("HTTP+JSON", "1.0"), ("JSONRPC", "0.3")]
        return AgentCard(
            name=self.name,
            description=f"the {self.name}",
            version="1.0.0",
            capabilities=AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True),
            default_input_modes=["text/plain"],
            default_output_modes=["text/plain"],
            supported_interfaces=[
                AgentInterface(url=url, protocol_binding=binding, protocol_version=version)
                for binding, version in interfaces
            ],
            skills=[AgentSkill(id="work", name="Work", description="Does what it is told", tags=["finance"])],
        )

    @property
    def extended_card(self) -> AgentCard:
        """The card for callers that the agent knows."""
        card = self.card
        card.skills.add(id="audit", name="Audit", description="For those it knows", tags=["finance"])
        return card

    @property
    def card_routes(self) -> list[Any]:
        return list(create_agent_card_routes(self.card))

    @property
    def application(self) -> Any:
        card = self.card
        configs = InMemoryPushNotificationConfigStore()
        http = httpx.AsyncClient(verify=self.company.client(self.name))
        handler = DefaultRequestHandler(
            Worker(self),
            InMemoryTaskStore(),
            card,
            extended_agent_card=self.extended_card,
            push_config_store=configs,
            push_sender=BasePushNotificationSender(http, configs),
        )
        calls = create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True)
        inner = Starlette(routes=[*self.card_routes, *calls])

        async def recorded(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["method"] == "POST":
                self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
                self.bodies.append(b"")

            async def received() -> Any:
                message = await receive()
                if message["type"] == "http.request" and self.bodies:
                    self.bodies[-1] += message.get("body", b"")
                return message

            await inner(scope, received, send)

        return recorded


class Worker(AgentExecutor):
    """Runs one message: its first word says what to do."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        text = context.get_user_input()
        self._agent.texts.append(text)
        task = context.current_task or new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        verb, _, rest = text.partition(" ")
        if verb == "break":
            await updater.add_artifact([new_text_part("half")])
            raise UnsupportedOperationError("not today")
        if verb == "steps":
            for number in range(int(rest)):
                await updater.add_artifact([new_text_part(str(number))])
                await self._agent.step.wait()
                self._agent.step.clear()
        if verb == "tenant":
            rest = context.call_context.tenant
        bearer = context.call_context.state["headers"]["authorization"].removeprefix("Bearer ")
        await updater.add_artifact([new_text_part(await self._answer(verb, rest, bearer))])
        await (updater.requires_input() if verb == "more" else updater.complete())

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        task = context.current_task
        await TaskUpdater(event_queue, task.id, task.context_id).cancel()

    async def _answer(self, verb: str, rest: str, bearer: str) -> str:
        company, name = self._agent.company, self._agent.name
        if verb == "ask":
            target, _, question = rest.partition(" ")
            try:
                async with asking(company, name, target, token=bearer, streaming=False) as client:
                    return f"{name} < {said(await heard(client, question))}"
            except A2AClientError as error:
                return f"{name} refused {reason_of(error)}"
        if verb == "balance":
            return f"{name} < {await balance(company, name, bearer)}"
        return f"{name}: {verb} {rest}" if verb == "tenant" else f"{name}: {verb}"


async def balance(company: Company, agent: str, token: str) -> str:
    """What the ledger answers to ``agent``, or why the gateway refuses."""
    async with httpx2.AsyncClient(verify=company.client(agent), headers=bearing(token), timeout=20) as http:
        try:
            async with McpClient(streamable_http_client(f"{company.data_url}/mcp/ledger", http_client=http)) as ledger:
                result = await ledger.call_tool("read_balance", {"account": "payroll"})
        except MCPError as error:
            return f"refused {error.data['reason']}"
    return str((result.structured_content or {}).get("balance"))


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def route(company: Company, target: str, agent: str | None) -> tuple[str, ssl.SSLContext]:
    """URL and TLS of a route: for an agent on the data listener, for anyone on the public one."""
    if agent is None:
        return f"{company.public_url}/a2a/{target}", company.anyone()
    return f"{company.data_url}/a2a/{target}", company.client(agent)


@asynccontextmanager
async def asking(
    company: Company,
    agent: str | None,
    target: str = "analyst",
    *,
    token: str = "",
    streaming: bool = True,
    binding: str = "JSONRPC",
    version: str = "1.0",
) -> AsyncIterator[Client]:
    """The official client, made from the card; with a fresh token of Maria's unless one is given.

    It prefers 1.0 wherever the card offers it, so other versions are all that is left of the card.
    """
    url, context = route(company, target, agent)
    headers = bearing(token or company.token(url))
    async with httpx.AsyncClient(verify=context, headers=headers, timeout=20) as http:
        config = ClientConfig(httpx_client=http, streaming=streaming, supported_protocol_bindings=[binding])
        card = await A2ACardResolver(http, url).get_agent_card()
        for interface in [each for each in card.supported_interfaces if each.protocol_version != version]:
            card.supported_interfaces.remove(interface)
        yield await create_client(card, config)


@dataclass(frozen=True)
class Bare:
    """HTTP at an agent's route, for what the official client would not send."""

    http: httpx.AsyncClient
    url: str

    async def post(
        self, body: Any, headers: Mapping[str, str | None] | None = None, *, query: str = ""
    ) -> httpx.Response:
        """Send ``body``, as JSON unless it is bytes, with version 1.0; a header set to None is left out."""
        wanted = {"Content-Type": "application/json", "A2A-Version": "1.0", **(headers or {})}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kept = {name: value for name, value in wanted.items() if value is not None}
        return await self.http.post(self.url + query, content=content, headers=kept)

    async def card(self, **headers: str) -> httpx.Response:
        """Read the agent card."""
        return await self.http.get(f"{self.url}/.well-known/agent-card.json", headers=headers)


@asynccontextmanager
async def bare(
    company: Company, agent: str | None = "planner", target: str = "analyst", *, token: str = ""
) -> AsyncIterator[Bare]:
    """As an agent, or as anyone at the public listener; with a fresh token of Maria's unless one is given."""
    url, context = route(company, target, agent)
    async with httpx.AsyncClient(verify=context, headers=bearing(token or company.token(url)), timeout=20) as http:
        yield Bare(http, url)


def question(text: str, **members: Any) -> SendMessageRequest:
    message = Message(role=Role.ROLE_USER, message_id=os.urandom(8).hex(), parts=[new_text_part(text)], **members)
    return SendMessageRequest(message=message)


async def heard(client: Client, text: str, **members: Any) -> list[StreamResponse]:
    return [event async for event in client.send_message(question(text, **members))]


def said(events: list[StreamResponse]) -> str:
    """All text of the artifacts."""
    parts = [part for event in events for artifact in event.task.artifacts for part in artifact.parts]
    parts += [part for event in events for part in event.artifact_update.artifact.parts]
    return " ".join(get_text_parts(parts))


def sending(text: str, method: str = "SendMessage", **members: Any) -> dict[str, Any]:
    """The JSON-RPC body of a message."""
    message = {"role": "ROLE_USER", "messageId": os.urandom(8).hex(), "parts": [{"text": text}], **members}
    return rpc(method, {"message": message})


def rpc(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": dict(params)}


def answer_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON-RPC answer, whole or the last event of a stream."""
    if response.headers["content-type"].startswith("text/event-stream"):
        data = [line.removeprefix("data:") for line in response.text.splitlines() if line.startswith("data:")]
        return dict(json.loads(data[-1]))
    return dict(response.json())


def refusal_of(response: httpx.Response) -> tuple[int, int, str]:
    """HTTP status, JSON-RPC code and reason."""
    error = answer_of(response)["error"]
    return response.status_code, error["code"], error["data"]["reason"]


def reason_of(error: A2AClientError) -> str:
    """The gateway's reason, from the answer that the SDK keeps as the cause."""
    cause = error.__cause__
    assert isinstance(cause, httpx.HTTPStatusError), repr(cause)
    return str(cause.response.json()["error"]["data"]["reason"])
