"""The official client and server with nothing between them but the adapters: neither notices."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.client import Client
from a2a.client.errors import A2AClientError
from a2a.helpers import new_task_from_user_message, new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    GetTaskRequest,
    Part,
    Role,
    SendMessageRequest,
    StreamResponse,
    TaskState,
)
from a2a.utils.errors import UnsupportedOperationError
from starlette.applications import Starlette

from gateway.core.errors import ProtocolError
from gateway.core.limits import Limits
from gateway.core.model import Call, Route
from gateway.core.reasons import Reason
from gateway.protocols.a2a import CARD_METHOD, classify, encode, parse, refuse, rewrite_card, task_ids
from gateway.protocols.base import End, Incoming, Pass, Refusal, Reply, refusal_of
from gateway.protocols.jsonrpc import dump_json, parse_answer
from gateway.protocols.sse import Event, SseParser, encode_message

PUBLIC = "https://gw.test/a2a/analyst"
UPSTREAM = "https://10.0.0.7/"
ROUTE = Route("a2a", "analyst", "/a2a/analyst", PUBLIC, "https://analyst.test/")
LIMITS = Limits()


class Analyst(AgentExecutor):
    """Starts a task, adds an artifact, completes."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        task = context.current_task or new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        if context.get_user_input() == "fail":
            raise UnsupportedOperationError("not today")
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        await updater.add_artifact([Part(text="42")])
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


def upstream_app() -> Starlette:
    card = AgentCard(
        name="Analyst", description="d", version="1", capabilities=AgentCapabilities(streaming=True),
        supported_interfaces=[AgentInterface(url=UPSTREAM, protocol_binding="JSONRPC", protocol_version="1.0")],
        default_input_modes=["text"], default_output_modes=["text"],
    )  # fmt: skip
    handler = DefaultRequestHandler(Analyst(), InMemoryTaskStore(), card)
    return Starlette(routes=[*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/")])


class Adapters(httpx.AsyncBaseTransport):
    """Every request through parse and encode, every answer through classify."""

    def __init__(self, upstream: httpx.AsyncClient) -> None:
        self._upstream = upstream
        self.denied: Reason | None = None
        self.learned: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        rest = request.url.path.removeprefix(ROUTE.path)
        incoming = Incoming(request.method, rest, headers, dict(request.url.params), await request.aread())
        try:
            call = parse(incoming, ROUTE, LIMITS)
        except ProtocolError as error:
            return response(refuse(error.request_id, refusal_of(error)))
        if self.denied is not None:
            return response(refuse(call.request_id, Refusal(reason=self.denied, decision_id="d1")))
        return await self._forward(call)

    async def _forward(self, call: Call) -> httpx.Response:
        out = encode(call, trace={})
        url = UPSTREAM.rstrip("/") + out.rest
        answer = await self._upstream.request(out.http_method, url, headers=list(out.headers), content=out.body)
        if answer.headers["content-type"].startswith("text/event-stream"):
            events = [frame for frame in SseParser(LIMITS.event_bytes).feed(answer.content) if isinstance(frame, Event)]
            values = [parse_answer(event.data.encode(), LIMITS) for event in events]
            body = b"".join(encode_message(self._answer(call, value)) for value in values)
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)
        body = dump_json(self._answer(call, parse_answer(answer.content, LIMITS)))
        return httpx.Response(answer.status_code, headers={"content-type": "application/json"}, content=body)

    def _answer(self, call: Call, value: Any) -> Any:
        match classify(call, value):
            case End(card) if call.method == CARD_METHOD:
                return rewrite_card(card, PUBLIC)
            case Pass(sent) | End(sent):
                self.learned |= set(task_ids(sent).tasks)
                return sent
        raise AssertionError(value)


def response(reply: Reply) -> httpx.Response:
    return httpx.Response(reply.status, headers=list(reply.headers), content=reply.body)


@asynccontextmanager
async def connected(streaming: bool) -> AsyncIterator[tuple[Client, Adapters]]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(upstream_app())) as upstream:
        adapters = Adapters(upstream)
        async with httpx.AsyncClient(transport=adapters) as http:
            card = await A2ACardResolver(http, PUBLIC).get_agent_card()
            assert [interface.url for interface in card.supported_interfaces] == [PUBLIC] * 2
            yield ClientFactory(ClientConfig(httpx_client=http, streaming=streaming)).create(card), adapters


def ask(text: str) -> SendMessageRequest:
    return SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER))


async def told(client: Client, text: str = "how much?") -> list[StreamResponse]:
    return [event async for event in client.send_message(ask(text))]


async def test_a_stream_and_its_task() -> None:
    async with connected(streaming=True) as (client, adapters):
        events = await told(client)
        assert [event.WhichOneof("payload") for event in events] == [
            "task", "status_update", "artifact_update", "status_update",
        ]  # fmt: skip
        task_id = events[0].task.id
        assert adapters.learned == {task_id}
        task = await client.get_task(GetTaskRequest(id=task_id))
        assert task.status.state == TaskState.TASK_STATE_COMPLETED


async def test_an_error_within_a_stream_is_the_clients_to_see() -> None:
    async with connected(streaming=True) as (client, _):
        with pytest.raises(UnsupportedOperationError, match="not today"):
            await told(client, "fail")


async def test_a_message_and_its_task() -> None:
    async with connected(streaming=False) as (client, adapters):
        (event,) = await told(client)
        assert event.task.artifacts[0].parts[0].text == "42"
        assert adapters.learned == {event.task.id}


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_denial_is_an_error_to_the_client(streaming: bool) -> None:
    async with connected(streaming) as (client, adapters):
        adapters.denied = Reason.NO_PERMIT
        with pytest.raises(A2AClientError, match="403"):
            await told(client)
