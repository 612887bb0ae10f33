"""Tasks for servers on the official SDK, which has their types and no more: a middleware makes and serves them.

Sessions get them as 2025-11-25 has them, stateless callers as the extension ``io.modelcontextprotocol/tasks`` has them.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_REQUIRED_CLIENT_CAPABILITY

EXTENSION = "io.modelcontextprotocol/tasks"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
RELATED = "io.modelcontextprotocol/related-task"
MODERN = "2026-07-28"
TTL_MS, POLL_MS = 60_000, 50
Next = Callable[[Any], Awaitable[Any]]
Result = dict[str, Any]


@dataclass
class Kept:
    """One task. ``asked`` are the questions that nobody has answered yet; ``run`` calls the tool."""

    id: str
    run: Callable[[], Awaitable[Any]]
    ready: float
    asked: dict[str, Any] = field(default_factory=dict)
    result: Result | None = None
    error: Result | None = None
    cancelled: bool = False
    made: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def ended(self) -> bool:
        return self.cancelled or (not self.asked and time.monotonic() >= self.ready)

    @property
    def status(self) -> str:
        if self.cancelled:
            return "cancelled"
        if self.asked:
            return "input_required"
        return "working" if not self.ended else "completed" if self.error is None else "failed"

    async def go(self) -> None:
        try:
            self.result = dict(await self.run())
        except MCPError as failed:
            self.error = failed.error.model_dump(exclude_none=True)


@dataclass
class Tasks:
    """``seconds`` are the tools that become tasks, with how long each takes by its arguments (0: no task at all)."""

    seconds: Mapping[str, Callable[[Mapping[str, Any]], float]]
    asking: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Tools that ask for something before they go on, with what they ask."""
    required: frozenset[str] = frozenset()
    """Tools that do nothing for a stateless caller without the extension."""
    next_id: Callable[[int], str] = "task-{}".format
    kept: dict[str, Kept] = field(default_factory=dict)
    heard: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """Methods about tasks, with their parameters."""

    def join(self, server: MCPServer) -> None:
        """Serve them there."""
        inner = server._lowlevel_server
        inner.extensions[EXTENSION] = {}
        inner.middleware.append(self)

    async def __call__(self, ctx: Any, call_next: Next) -> Any:
        """The middleware."""
        modern, params = ctx.protocol_version == MODERN, dict(ctx.params or {})
        if ctx.method == "tools/call" and params.get("name") in {*self.seconds, *self.asking}:
            return await self._called(ctx, call_next, params, modern)
        if ctx.method.startswith("tasks/"):
            self.heard.append((ctx.method, params))
            return await self._answer(ctx.method, params, modern)
        found = await call_next(ctx)
        if ctx.method == "initialize":
            offered = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
            found = {**found, "capabilities": {**found["capabilities"], "tasks": offered}}
        return found

    async def _called(self, ctx: Any, call_next: Next, params: Mapping[str, Any], modern: bool) -> Any:
        name, arguments = params["name"], params.get("arguments", {})
        wanted = _declared(params) if modern else "task" in params
        if not wanted:
            if modern and name in self.required:
                needed = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
                raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "the client has no tasks", needed)
            return await call_next(ctx)
        seconds = self.seconds.get(name, lambda _: 0.001)(arguments)
        if not seconds and modern:
            return await call_next(ctx)
        if name == ASKED_FIRST:
            found = await call_next(ctx)
            if found.get("resultType") == "input_required":
                return found
            return await self._become(lambda: _ready(found), seconds, {}, modern)
        return await self._become(lambda: call_next(ctx), seconds, self.asking.get(name, {}), modern)

    async def _become(
        self, run: Callable[[], Awaitable[Any]], seconds: float, asked: Mapping[str, Any], modern: bool
    ) -> Result:
        task = Kept(self.next_id(len(self.kept) + 1), run, time.monotonic() + seconds, dict(asked))
        self.kept[task.id] = task
        if not task.asked:
            await task.go()
        state = {**_state(task, modern), "status": "working"}
        return {**state, "resultType": "task"} if modern else {"task": state}

    async def _answer(self, method: str, params: Mapping[str, Any], modern: bool) -> Any:
        if method == "tasks/list" and not modern:
            return {"tasks": [_state(task, modern) for task in self.kept.values()]}
        known = ("get", "update", "cancel") if modern else ("get", "result", "cancel")
        if method.removeprefix("tasks/") not in known:
            raise MCPError(METHOD_NOT_FOUND, "Method not found")
        if modern and not _declared(params):
            needed = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "the client has no tasks", needed)
        task = self.kept.get(str(params.get("taskId")))
        if task is None:
            raise MCPError(INVALID_PARAMS, "Task not found")
        if method == "tasks/result":
            return _payload(task)
        if method == "tasks/update":
            await self._update(task, params)
        elif method == "tasks/cancel" and not task.ended:
            task.cancelled = True
        if modern and method != "tasks/get":
            return {"resultType": "complete"}
        return {**_detailed(task), "resultType": "complete"} if modern else _state(task, modern)

    async def _update(self, task: Kept, params: Mapping[str, Any]) -> None:
        waiting = bool(task.asked)
        for key in params.get("inputResponses", {}):
            task.asked.pop(key, None)
        if waiting and not task.asked:
            await task.go()


ASKED_FIRST = "test_tool_with_task"
"""The tool that asks before it becomes a task."""


async def _ready(found: Any) -> Any:
    return found


def _declared(params: Mapping[str, Any]) -> bool:
    declared = params.get("_meta", {}).get(CAPABILITIES, {})
    return EXTENSION in (declared.get("extensions") or {})


def _state(task: Kept, modern: bool) -> Result:
    times = {"ttlMs": TTL_MS, "pollIntervalMs": POLL_MS} if modern else {"ttl": TTL_MS, "pollInterval": POLL_MS}
    return {"taskId": task.id, "status": task.status, "createdAt": task.made, "lastUpdatedAt": task.made, **times}


def _detailed(task: Kept) -> Result:
    state = _state(task, True)
    if task.status == "input_required":
        return {**state, "inputRequests": task.asked}
    if task.status == "completed":
        return {**state, "result": task.result}
    return {**state, "error": task.error, "statusMessage": "failed"} if task.status == "failed" else state


def _payload(task: Kept) -> Result:
    if task.error is not None:
        raise MCPError(task.error["code"], task.error["message"])
    if task.result is None or task.cancelled:
        raise MCPError(INVALID_PARAMS, "Task has no result")
    meta = {**task.result.get("_meta", {}), RELATED: {"taskId": task.id}}
    return {**task.result, "_meta": meta}
