"""A server on the official SDK that offers everything the conformance suite's scenarios ask for, in both eras.

Whatever a scenario looks for has the name that the suite gives it. Tasks are ``tasks``'.
"""

import base64
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import (
    Completion,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    JSONRPCMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextResourceContents,
    UnsubscribeRequestParams,
)

from tests.conformance.asking import add_asking
from tests.conformance.tasks import ASKED_FIRST, Tasks
from tests.conformance.tools import PNG, add_tools, rich_schema_tool

RETRY_MS = 50


def conformance_server() -> MCPServer:
    """The server; each has its own lists, sessions and subscriptions."""
    server = MCPServer("conformance", version="1", tools=[rich_schema_tool()], log_level="CRITICAL")
    add_tools(server)
    add_asking(server)
    _add_resources(server)
    _add_prompts(server)
    _add_session_methods(server)
    conformance_tasks().join(server)
    return server


def conformance_tasks() -> Tasks:
    """The tools that the scenarios want to become tasks."""
    return Tasks(
        seconds={
            "slow_compute": lambda arguments: float(arguments["seconds"]),
            "failing_job": lambda _: 0.3,
            "protocol_error_job": lambda _: 0.3,
            ASKED_FIRST: lambda _: 0.3,
        },
        asking={
            "confirm_delete": {"confirm": _question("Delete it?", "confirm", "boolean")},
            "multi_input": {
                "first": _question("Your name?", "name", "string"),
                "second": _question("And again?", "name", "string"),
            },
        },
        required=frozenset({"failing_job"}),
    )


def _question(message: str, name: str, kind: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return {
        "method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema},
    }  # fmt: skip


def conformance_application() -> Any:
    """The server as an ASGI application at ``/mcp`` that answers only to names of this machine."""
    return conformance_server().streamable_http_app(event_store=Events(), retry_interval=RETRY_MS, host="127.0.0.1")


class Events(EventStore):
    """The events of all streams, for clients that come back with the last id they saw."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep it; its id is its place."""
        self._kept.append((stream_id, message))
        return str(len(self._kept) - 1)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what the stream of that event had later."""
        last = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() else len(self._kept)
        if last >= len(self._kept):
            return None
        stream = self._kept[last][0]
        for place, (other, message) in enumerate(self._kept):
            if place > last and other == stream and message is not None:
                await send_callback(EventMessage(message, str(place)))
        return stream


def _add_resources(server: MCPServer) -> None:
    @server.resource("test://static-text", description="Text.", mime_type="text/plain")
    def text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", description="An image.", mime_type="image/png")
    def binary() -> bytes:
        return base64.b64decode(PNG)

    @server.resource("test://watched-resource", description="May be subscribed to.", mime_type="text/plain")
    def watched() -> str:
        return "nothing new"

    @server.resource("test://template/{id}/data", description="Any id.", mime_type="application/json")
    def templated(id: str) -> dict[str, Any]:
        return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


def _add_prompts(server: MCPServer) -> None:
    @server.prompt("test_simple_prompt", description="No arguments.")
    def simple() -> list[UserMessage]:
        return [UserMessage("This is a simple prompt for testing.")]

    @server.prompt("test_prompt_with_arguments", description="Two arguments.")
    def with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
        return [UserMessage(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]

    @server.prompt("test_prompt_with_embedded_resource", description="Holds a resource.")
    def with_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803
        text = "Embedded resource content for testing."
        resource = TextResourceContents(uri=resourceUri, mime_type="text/plain", text=text)
        return [
            UserMessage(EmbeddedResource(type="resource", resource=resource)),
            UserMessage("Please process the embedded resource above."),
        ]

    @server.prompt("test_prompt_with_image", description="Holds an image.")
    def with_image() -> list[UserMessage]:
        image = ImageContent(type="image", data=PNG, mime_type="image/png")
        return [UserMessage(image), UserMessage("Please analyze the image above.")]

    @server.completion()  # type: ignore[no-untyped-call,untyped-decorator]
    async def completing(ref: Any, argument: Any, context: Any) -> Completion:
        words = [word for word in ("paris", "park", "party") if word.startswith(argument.value)]
        return Completion(values=words, total=len(words), has_more=False)


def _add_session_methods(server: MCPServer) -> None:
    """What only sessions have. ``MCPServer`` has no way to add it, so it is added to the server within."""
    inner = server._lowlevel_server

    async def accepted(ctx: Any, params: Any) -> EmptyResult:
        return EmptyResult()

    inner.add_request_handler("logging/setLevel", SetLevelRequestParams, accepted)
    inner.add_request_handler("resources/subscribe", SubscribeRequestParams, accepted)
    inner.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, accepted)
