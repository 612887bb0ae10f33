"""The tools that the conformance suite calls for what they bring back; ``asking`` has those that ask their caller."""

import asyncio
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    EmbeddedResource,
    ImageContent,
    LoggingLevel,
    TextContent,
    TextResourceContents,
)
from pydantic import Field

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
STEP_SECONDS = 0.02
RECONNECT_SECONDS = 0.15
"""Longer than the retry interval that the server sends: the client is back before the tool goes on."""
HEADER_TOOL = "test_header_mirrored"
HEADER_SCHEMA = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    "required": ["region"],
}
SCHEMA_TOOL = "json_schema_2020_12_tool"
RICH_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
Content = TextContent | ImageContent | EmbeddedResource


def rich_schema_tool() -> Tool:
    """A tool whose input schema uses what JSON Schema 2020-12 has and Python's types don't."""

    def described(name: str = "") -> str:
        return f"described {name}"

    tool = Tool.from_function(described, name=SCHEMA_TOOL, description="Has a rich input schema.")
    return tool.model_copy(update={"parameters": RICH_SCHEMA})


def add_tools(server: MCPServer) -> None:
    """All of them. The first one listed needs no arguments: the header scenarios call it so."""
    _add_contents(server)
    _add_streams(server)
    _add_changes(server)
    _add_refusals(server)


def _add_contents(server: MCPServer) -> None:
    @server.tool("test_simple_text", description="Brings back text.")
    def simple_text() -> str:
        return "This is a simple text response for testing."

    @server.tool("test_image_content", description="Brings back an image.")
    def image() -> list[ImageContent]:
        return [ImageContent(type="image", data=PNG, mime_type="image/png")]

    @server.tool("test_audio_content", description="Brings back a sound.")
    def audio() -> list[AudioContent]:
        return [AudioContent(type="audio", data=WAV, mime_type="audio/wav")]

    @server.tool("test_embedded_resource", description="Brings back a resource within its answer.")
    def embedded() -> list[EmbeddedResource]:
        return [_resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")]

    @server.tool("test_multiple_content_types", description="Brings back text, an image and a resource.")
    def mixed() -> list[Content]:
        return [
            TextContent(type="text", text="Multiple content types test:"),
            ImageContent(type="image", data=PNG, mime_type="image/png"),
            _resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
        ]

    @server.tool("greet", description="Answers at once; the tasks scenarios call it without a task.")
    def greet(name: str) -> str:
        return f"Hello, {name}!"

    @server.tool("slow_compute", description="Answers at once, or takes its time as a task.")
    def compute(seconds: int, label: str) -> str:
        return f"{label}: {seconds}"

    @server.tool("confirm_delete", description="Answers at once, and deletes nothing.")
    def delete(filename: str) -> str:
        return f"kept {filename}"

    @server.tool(HEADER_TOOL, description="Has an argument that a header repeats.")
    def mirrored(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
        return f"region {region}"


def _add_streams(server: MCPServer) -> None:
    @server.tool("test_tool_with_progress", description="Reports its progress.")
    async def progressing(ctx: Context) -> str:
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100, f"{done} of 100")
            await asyncio.sleep(STEP_SECONDS)
        return "done"

    @server.tool("test_tool_with_logging", description="Logs while it works.")
    async def logging(ctx: Context) -> str:
        for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await _log(ctx, line)
            await asyncio.sleep(STEP_SECONDS)
        return "done"

    @server.tool("test_logging_tool", description="Logs, for those who asked for it.")
    async def logging_once(ctx: Context) -> str:
        await _log(ctx, "once")
        return "done"

    @server.tool("test_reconnection", description="Closes its stream and goes on without it.")
    async def reconnecting(ctx: Context) -> str:
        await ctx.close_sse_stream()
        await asyncio.sleep(RECONNECT_SECONDS)
        return "done"


def _add_changes(server: MCPServer) -> None:
    def passing() -> str:
        return "still here"

    present: set[str] = set()

    @server.tool("test_trigger_tool_change", description="Adds a tool, or takes it away again.")
    async def change_tools(ctx: Context) -> str:
        if "tool" in present:
            present.remove("tool")
            server.remove_tool("test_passing_tool")
        else:
            present.add("tool")
            server.add_tool(passing, name="test_passing_tool", description="Comes and goes.")
        await ctx.notify_tools_changed()
        return "changed"

    @server.tool("test_trigger_prompt_change", description="Adds a prompt, or takes it away again.")
    async def change_prompts(ctx: Context) -> str:
        if "prompt" in present:
            present.remove("prompt")
            server.remove_prompt("test_passing_prompt")
        else:
            present.add("prompt")
            server.prompt("test_passing_prompt", description="Comes and goes.")(passing)
        await ctx.notify_prompts_changed()
        return "changed"


def _add_refusals(server: MCPServer) -> None:
    @server.tool("test_error_handling", description="Fails.")
    def failing() -> str:
        raise ToolError("This tool intentionally returns an error for testing")

    @server.tool("failing_job", description="Fails, for the tasks scenarios.")
    def job() -> str:
        raise ToolError("This job intentionally fails")

    @server.tool("protocol_error_job", description="Fails as no tool should, for the tasks scenarios.")
    def protocol_job() -> str:
        raise MCPError(INTERNAL_ERROR, "This job fails in the protocol")

    @server.tool("multi_input", description="Asks twice as a task, and not at all without one.")
    def several() -> str:
        return "done"

    @server.tool("test_missing_capability", description="Needs a client that can sample.")
    def needing(ctx: Context) -> str:
        declared = ctx.client_capabilities
        if declared is None or declared.sampling is None:
            needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "the client can't sample", needed)
        return "the client can sample"


def _resource(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


async def _log(ctx: Context, line: str, level: LoggingLevel = "info") -> None:
    await ctx.session.send_log_message(level=level, data=line, related_request_id=ctx.request_id)
