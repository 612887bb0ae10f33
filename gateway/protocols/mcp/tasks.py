"""Tasks: calls that go on after their answer (MCP 2025-11-25 "Tasks"; extension ``io.modelcontextprotocol/tasks``).

Reads which tasks a message names, makes or is about, and what a task asks of its caller. Doesn't know who owns what:
that is ``core.ports.TaskOwners``'.
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.errors import ProtocolError
from gateway.core.model import Call
from gateway.core.reasons import Reason
from gateway.protocols.base import Classified, End, Inbound, OfTask
from gateway.protocols.jsonrpc import malformed_answer
from gateway.protocols.mcp.methods import META, META_CAPABILITIES, era_of, meta_of
from gateway.protocols.mcp.requests import input_requests

EXTENSION = META + "tasks"
RELATED = META + "related-task"
RELATED_IDS = META + "relatedTaskIds"
STATUS = {"legacy": "notifications/tasks/status", "modern": "notifications/tasks"}
"""How a server tells of a task's state, by era."""
MOST_ID_CHARS = 512
CAPABILITY_MISSING = -32021


def is_task_id(value: Any) -> bool:
    """Whether it is an id that fits a record and a header: printable, and not too long."""
    return isinstance(value, str) and 0 < len(value) <= MOST_ID_CHARS and value.isprintable()


def capabilities(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is passed of the tasks that a server says it has: a session's capability, and the extension."""
    found: dict[str, Any] = {}
    legacy, extensions = declared.get("tasks"), declared.get("extensions")
    if isinstance(legacy, dict):
        found["tasks"] = {name: {} for name in ("list", "cancel") if isinstance(legacy.get(name), dict)}
        requests = legacy.get("requests")
        tools = requests.get("tools") if isinstance(requests, dict) else None
        if isinstance(tools, dict) and isinstance(tools.get("call"), dict):
            found["tasks"]["requests"] = {"tools": {"call": {}}}
    if isinstance(extensions, dict) and EXTENSION in extensions:
        found["extensions"] = {EXTENSION: {}}
    return found


def may_make(call: Call) -> bool:
    """Whether the answer may be a task: a session's client asks for one, a stateless one says that it knows them."""
    if call.method != "tools/call":
        return False
    return (
        declares(call.message)
        if era_of(call) == "modern"
        else isinstance(call.message.get("params", {}).get("task"), dict)
    )


def declares(message: Mapping[str, Any]) -> bool:
    """Whether a stateless message says that its client knows tasks."""
    capabilities = meta_of(message).get(META_CAPABILITIES)
    extensions = capabilities.get("extensions") if isinstance(capabilities, dict) else None
    return isinstance(extensions, dict) and EXTENSION in extensions


def check_declared(call: Call) -> None:
    """Refuse stateless talk about tasks by a client that doesn't say that it knows them.

    Raises:
        ProtocolError: MESSAGE_INVALID (-32021).
    """
    if era_of(call) == "modern" and decided_tasks(call) and not declares(call.message):
        needed: Mapping[str, object] = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        detail = f"the client has not declared {EXTENSION}"
        raise ProtocolError(Reason.MESSAGE_INVALID, detail, code=CAPABILITY_MISSING, data=needed)


def decided_tasks(call: Call) -> tuple[str, ...]:
    """The server's tasks that the policies are asked about."""
    resources = (call.resource, *(resource for _, resource in call.also))
    return tuple(each.id.partition("/")[2] for each in resources if each.type == "McpTask")


def named_tasks(call: Call) -> tuple[str, ...]:
    """The server's tasks that a request names, and that so have to be the caller's.

    Of a response or a notification it isn't known yet whether it names the server's tasks or the client's own.
    """
    named: list[Any] = [*decided_tasks(call)]
    if call.request_id is not None:
        others = meta_of(call.message).get(RELATED_IDS)
        named += [related_task(call.message), *(others if isinstance(others, list) else ())]
    return tuple(dict.fromkeys(task for task in named if isinstance(task, str)))


def related_task(message: Mapping[str, Any]) -> str | None:
    """The task that a message says it belongs to (``_meta``), if it does."""
    holder = message.get("params" if "method" in message else "result")
    meta = holder.get("_meta") if isinstance(holder, dict) else None
    related = meta.get(RELATED) if isinstance(meta, dict) else None
    task = related.get("taskId") if isinstance(related, dict) else None
    return task if isinstance(task, str) else None


def is_made(call: Call, result: Mapping[str, Any]) -> bool:
    """Whether a result says that the call became a task: rightly or wrongly, ``made`` tells."""
    if era_of(call) == "modern":
        return bool(result.get("resultType") == "task")
    return call.method == "tools/call" and isinstance(result.get("task"), dict)


def made(call: Call, value: Mapping[str, Any]) -> OfTask:
    """The answer that says which task a call became.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED, no such answer was asked for, or it asks for more than patience.
    """
    result = value["result"]
    task = result if era_of(call) == "modern" else result["task"]
    if not may_make(call):
        raise malformed_answer("a task that the call did not ask for")
    if {"inputRequests", "requestState"} & {*result, *task}:
        raise malformed_answer("a new task that asks for input in its first answer")
    return OfTask(value, _id_of(task), last=True, detail="became a task")


def notified(value: Mapping[str, Any]) -> OfTask:
    """A task's state as its server tells it by itself."""
    params = value["params"]
    return OfTask(value, _id_of(params), input_requests(params))


def answered(call: Call, value: Mapping[str, Any], result: Mapping[str, Any]) -> Classified:
    """The answer to a request about one task.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED, an answer about another task, or that asks where it may not.
    """
    legacy = era_of(call) == "legacy"
    if call.method == "tasks/result":
        if related_task(value) not in (None, call.target):
            raise malformed_answer("the result of another task")
        return End(value, ok=True, detail=_detail(result))
    if call.method == "tasks/get" or (legacy and call.method == "tasks/cancel"):
        if _id_of(result) != call.target:
            raise malformed_answer("another task than the one that was asked for")
        asked = () if legacy else input_requests(result)
        return OfTask(value, call.target, asked, last=True, detail=_detail(result.get("result")))
    if {"taskId", "inputRequests", "requestState"} & result.keys():
        raise malformed_answer("an acknowledgement that says more")
    return End(value, ok=True)


def asks(request: Inbound) -> str | None:
    """The client's own task that a request of the server is about, where it is about one."""
    params = request.value.get("params") if request.method in ("tasks/get", "tasks/result", "tasks/cancel") else None
    task = params.get("taskId") if isinstance(params, dict) else None
    return task if is_task_id(task) else None


def made_by_client(message: Mapping[str, Any]) -> str | None:
    """The task that a client makes of a server's request, in the response that says so.

    Returns None for any other response.
    """
    result = message.get("result")
    task = result.get("task") if isinstance(result, dict) else None
    found = task.get("taskId") if isinstance(task, dict) else None
    return found if is_task_id(found) else None


def _detail(result: Any) -> str:
    return "tool error" if isinstance(result, dict) and result.get("isError") is True else ""


def _id_of(task: Any) -> str:
    found = task.get("taskId") if isinstance(task, dict) else None
    if not is_task_id(found):
        raise malformed_answer("a task without an id that can be kept")
    return str(found)
