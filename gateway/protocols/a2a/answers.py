"""The upstream's request for an A2A ``Call``, and what one message of its answer means.

Decides pass, list or end; A2A has no requests of the agent to the client. Whatever it can't name is an error. Doesn't
learn who owns the tasks (``ids.task_ids`` finds them), or when a stream ends: it ends when the upstream's does.
"""

from collections.abc import Container, Mapping
from typing import Any

from gateway.core.model import Call
from gateway.protocols.a2a.methods import CARD_METHOD, CARD_PATH, EXTENDED_CARD_METHOD, LIST_METHOD
from gateway.protocols.a2a.shapes import RESULTS, normal
from gateway.protocols.base import JSON, SSE, Classified, End, Listing, Outgoing, Pass, trace_headers
from gateway.protocols.jsonrpc import dump_json, malformed_answer, read_answer
from gateway.protocols.members import AmbiguousMemberError

EVENTS = ("task", "message", "statusUpdate", "artifactUpdate")
"""Of which a sent message's answer, and each event of a stream, has one."""


def encode(call: Call, *, trace: Mapping[str, str]) -> Outgoing:
    """The request to the upstream: the authorized message, or the card's GET. No extension is activated."""
    version = ("A2A-Version", call.version)
    if call.method == CARD_METHOD:
        return Outgoing("GET", CARD_PATH, (("Accept", JSON), version, *trace_headers(trace)), b"")
    accept = f"{SSE}, {JSON}" if call.streaming else JSON
    headers = (("Content-Type", JSON), ("Accept", accept), version, *trace_headers(trace))
    return Outgoing("POST", "", headers, dump_json(call.message))


def classify(call: Call, value: Any) -> Classified:
    """What ``value``, one parsed message of the answer to ``call``, is; its known members in camelCase.

    A stream's events are ``Pass``; its end is the end of the upstream's body. A list of tasks is ``Listing``, its
    items the tasks' ids. Cards are ``End`` as they came: ``card.rewrite_card`` makes them the gateway's.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED.
    """
    if call.method == CARD_METHOD:
        return End(value, ok=True)
    answer = read_answer(value, call.request_id)
    if answer.error is not None:
        return End({**value, "id": call.request_id}, ok=False, detail=f"error {answer.error['code']}")
    if call.method == EXTENDED_CARD_METHOD:
        return End(value, ok=True)
    result = _result(call, answer.result)
    sent = {**value, "result": result}
    if call.method == LIST_METHOD:
        return Listing(sent, tuple(task["id"] for task in result["tasks"]))
    return Pass(sent) if call.streaming else End(sent, ok=True)


def filter_listing(value: Mapping[str, Any], keep: Container[str]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The list of tasks cut to ``keep``, and the ids that it lost."""
    result = value["result"]
    kept = [task for task in result["tasks"] if task["id"] in keep]
    hidden = tuple(task["id"] for task in result["tasks"] if task["id"] not in keep)
    # The upstream's total counts other callers' tasks.
    return {**value, "result": {**result, "tasks": kept, "totalSize": len(kept)}}, hidden


def _result(call: Call, result: Any) -> Mapping[str, Any]:
    shape = RESULTS[call.method]
    try:
        named = normal(result, shape)
    except AmbiguousMemberError as error:
        raise malformed_answer(f"a result with {error}") from None
    if not isinstance(named, dict):
        raise malformed_answer("a result that is not an object")
    if call.method == LIST_METHOD:
        _check_tasks(named)
    elif not shape.inner.keys() & EVENTS:
        _check_task(named, call.target)
    else:
        _check_event(named, shape.inner, call.target if call.action == "subscribeTask" else None)
    return named


def _check_tasks(result: dict[str, Any]) -> None:
    """A page may be empty, and protobuf leaves empty lists out."""
    tasks = result.setdefault("tasks", [])
    if not isinstance(tasks, list):
        raise malformed_answer("a list of tasks that is not an array")
    for task in tasks:
        _check_task(task, None)


def _check_event(result: Mapping[str, Any], known: Container[str], wanted: str | None) -> None:
    present = [name for name in EVENTS if name in known and result.get(name) is not None]
    if len(present) != 1 or not isinstance(result[present[0]], dict):
        raise malformed_answer("a result without exactly one task, message or update")
    event = result[present[0]]
    if present[0] == "task":
        _check_task(event, wanted)
    elif wanted is not None and event.get("taskId", wanted) != wanted:
        raise malformed_answer("an event of another task than the one asked for")


def _check_task(task: Any, wanted: str | None) -> None:
    if not isinstance(task, dict) or not isinstance(task.get("id"), str) or not isinstance(task.get("status"), dict):
        raise malformed_answer("a task without id and status")
    if wanted is not None and task["id"] != wanted:
        raise malformed_answer("another task than the one asked for")
