"""The methods of MCP, what each means to policy, and the revisions that are served.

Sources: MCP 2025-06-18, 2025-11-25 (sessions; here "legacy") and 2026-07-28 (stateless; here "modern").
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from gateway.core.model import Call, Uid

Era = Literal["legacy", "modern"]

MODERN = ("2026-07-28",)
LEGACY = ("2025-11-25", "2025-06-18")
"""Newest first. An unversioned request within a session is taken for the oldest."""
SERVED = MODERN + LEGACY
TASKS = "2025-11-25"
"""The session revision that brought tasks."""

META = "io.modelcontextprotocol/"
META_VERSION = META + "protocolVersion"
META_CAPABILITIES = META + "clientCapabilities"
META_LOG_LEVEL = META + "logLevel"

TOOL_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")

BOTH: frozenset[Era] = frozenset({"legacy", "modern"})
LEGACY_ONLY: frozenset[Era] = frozenset({"legacy"})
MODERN_ONLY: frozenset[Era] = frozenset({"modern"})


class Method(Struct, frozen=True):
    """One method: its Cedar action, the type of its resource, and the parameter that names it.

    ``named_by`` is what ``Mcp-Name`` repeats; without it the resource is the server itself.
    ``notification`` methods have no id and no answer. ``since`` is the first session revision that has the method.
    """

    action: str
    eras: frozenset[Era]
    resource: str = "McpServer"
    named_by: str = ""
    notification: bool = False
    since: str = ""


METHODS: Mapping[str, Method] = {
    "server/discover": Method("discover", MODERN_ONLY),
    "initialize": Method("discover", LEGACY_ONLY),
    "ping": Method("discover", LEGACY_ONLY),
    "tools/list": Method("listTools", BOTH),
    "tools/call": Method("invokeTool", BOTH, "Tool", "name"),
    "resources/list": Method("listResources", BOTH),
    "resources/templates/list": Method("listResources", BOTH),
    "resources/read": Method("readResource", BOTH, "McpResource", "uri"),
    "prompts/list": Method("listPrompts", BOTH),
    "prompts/get": Method("getPrompt", BOTH, "Prompt", "name"),
    "completion/complete": Method("complete", BOTH),
    "subscriptions/listen": Method("subscribe", MODERN_ONLY),
    "resources/subscribe": Method("subscribe", LEGACY_ONLY),
    "resources/unsubscribe": Method("subscribe", LEGACY_ONLY),
    "tasks/get": Method("getTask", BOTH, "McpTask", "taskId", since=TASKS),
    "tasks/result": Method("getTask", LEGACY_ONLY, "McpTask", "taskId", since=TASKS),
    "tasks/update": Method("updateTask", MODERN_ONLY, "McpTask", "taskId"),
    "tasks/cancel": Method("cancelTask", BOTH, "McpTask", "taskId", since=TASKS),
    "tasks/list": Method("listTasks", LEGACY_ONLY, since=TASKS),
    "logging/setLevel": Method("setLogLevel", LEGACY_ONLY),
    "notifications/initialized": Method("discover", LEGACY_ONLY, notification=True),
    "notifications/cancelled": Method("notify", BOTH, notification=True),
    "notifications/progress": Method("notify", LEGACY_ONLY, notification=True),
    "notifications/roots/list_changed": Method("notify", LEGACY_ONLY, notification=True),
    "notifications/tasks/status": Method("notify", LEGACY_ONLY, notification=True, since=TASKS),
}


TRANSPORT: Mapping[str, Method] = {
    "GET": Method("discover", LEGACY_ONLY),
    "DELETE": Method("notify", LEGACY_ONLY),
    "response": Method("notify", LEGACY_ONLY, notification=True),
}
"""What a session has beside methods: its standing stream, its end, and answers to what the server asked."""
STANDING = frozenset({"GET", "subscriptions/listen"})
"""What has no answer to wait for: its stream stays open for whatever the server has to say."""

ANSWERABLE = frozenset({"tools/call", "prompts/get", "resources/read"})
"""What a server may answer with ``input_required``."""
LOG_LEVELS = frozenset({"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"})


class Listed(Struct, frozen=True):
    """Where a list's result has its items, what identifies one, and the Cedar type of the things."""

    member: str
    key: str
    resource: str


LISTS: Mapping[str, Listed] = {
    "tools/list": Listed("tools", "name", "Tool"),
    "resources/list": Listed("resources", "uri", "McpResource"),
    "resources/templates/list": Listed("resourceTemplates", "uriTemplate", "McpResource"),
    "prompts/list": Listed("prompts", "name", "Prompt"),
    "tasks/list": Listed("tasks", "taskId", "McpTask"),
}

CARRIED = frozenset(METHODS)
"""What is forwarded."""


def era_of(call: Call) -> Era:
    """The era of a parsed call."""
    return "modern" if call.version in MODERN else "legacy"


def is_standing(call: Call) -> bool:
    """Whether the stream of the call stands open with no answer to wait for. One that is resumed answers its call."""
    return call.protocol == "mcp" and call.method in STANDING


def resource_of(method: Method, server: str, target: str) -> Uid:
    """The Cedar resource: the server, or the thing of it that ``target`` names."""
    return Uid(method.resource, f"{server}/{target}" if method.named_by else server)


def meta_of(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """``params._meta``, or nothing where it is absent or not an object."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return meta if isinstance(meta, dict) else {}
