"""A message that waits for people, as an A2A task of the gateway's own: AUTH_REQUIRED until they have decided.

Once they said yes it is INPUT_REQUIRED: the client sends its message again, in the task or anew, and that is carried
out. Pure shapes, for 1.0 and 0.3. Doesn't say whose the task is.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import structs

from gateway.core.model import Call
from gateway.protocols.a2a.methods import UNVERSIONED

PREFIX = "hopgate-approval-"
TaskState = Literal[
    "AUTH_REQUIRED", "INPUT_REQUIRED", "WORKING", "COMPLETED", "FAILED", "REJECTED", "CANCELED"
]  # fmt: skip
_ABOUT = frozenset({"getTask", "cancelTask", "subscribeTask"})
_WRAPPING = frozenset({"SendMessage", "SendStreamingMessage", "SubscribeToTask"})


def shown(call: Call) -> Mapping[str, Any]:
    """The parameters that decide what is done; a message's own id is new each time it is sent."""
    params = dict(call.arguments or {})
    message = params.get("message")
    if isinstance(message, dict):
        params["message"] = {name: value for name, value in message.items() if name != "messageId"}
    return params


def named(call: Call) -> str:
    """The approval whose task the call is about, or goes on with; empty for none."""
    return call.target.removeprefix(PREFIX) if call.target.startswith(PREFIX) else ""


def is_about(call: Call) -> bool:
    """Whether the call asks for, cancels or follows a task of the gateway's own."""
    return call.protocol == "a2a" and call.action in _ABOUT and bool(named(call))


def without_own_ids(call: Call) -> Call:
    """The call as its agent may see it: not in a task or a context of the gateway's own."""
    if call.action != "delegate":
        return call
    params, arguments = call.message["params"], call.arguments or {}
    message = _cleared({**call.message, "params": _with_cleared(params)})
    target = "" if named(call) else call.target
    return structs.replace(call, message=message, arguments=_with_cleared(arguments), target=target)


def task(call: Call, approval: str, state: TaskState, text: str) -> Mapping[str, Any]:
    """The whole answer to ``call``: the approval's task, in the call's version and as its method wraps tasks."""
    name = PREFIX + approval
    old = call.version == UNVERSIONED
    word = state.lower().replace("_", "-") if old else f"TASK_STATE_{state}"
    part: dict[str, Any] = {"kind": "text", "text": text} if old else {"text": text}
    message: dict[str, Any] = {
        "messageId": f"{name}-{word}",
        "taskId": name,
        "contextId": name,
        "role": "agent" if old else "ROLE_AGENT",
        "parts": [part],
    }
    found: dict[str, Any] = {"id": name, "contextId": name, "status": {"state": word, "message": message}}
    if old:
        message["kind"], found["kind"] = "message", "task"
    elif call.method in _WRAPPING:
        found = {"task": found}
    return {"jsonrpc": "2.0", "id": call.request_id, "result": found}


def _with_cleared(params: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**params, "message": _cleared(params["message"])} if isinstance(params.get("message"), dict) else params


def _cleared(message: Mapping[str, Any]) -> Mapping[str, Any]:
    def own(value: Any) -> bool:
        return isinstance(value, str) and value.startswith(PREFIX)

    return {
        name: value for name, value in message.items() if not (name in ("taskId", "contextId") and own(value))
    }  # fmt: skip
