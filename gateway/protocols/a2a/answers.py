"""The upstream's request for an A2A ``Call``, and what one message of its answer means.

Decides pass or end; A2A has no requests of the agent to the client. Whatever it can't name is an error. Doesn't
learn who owns the tasks (``ids.task_ids`` finds them), or when a stream ends: it ends when the upstream's does.
"""

from collections.abc import Mapping
from typing import Any

from gateway.core.model import Call
from gateway.protocols.a2a.methods import CARD_METHOD, CARD_PATH
from gateway.protocols.a2a.shapes import RESULTS, normal
from gateway.protocols.base import JSON, SSE, Classified, End, Outgoing, Pass, trace_headers
from gateway.protocols.jsonrpc import dump_json, malformed_answer, read_answer
from gateway.protocols.members import AmbiguousMemberError


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

    A stream's events are ``Pass``; its end is the end of the upstream's body. The card is ``End`` as it came:
    ``card.rewrite_card`` makes it the gateway's.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED.
    """
    if call.method == CARD_METHOD:
        return End(value, ok=True)
    answer = read_answer(value, call.request_id)
    if answer.error is not None:
        return End({**value, "id": call.request_id}, ok=False, detail=f"error {answer.error['code']}")
    result = _result(call, answer.result)
    if call.streaming:
        return Pass({**value, "result": result})
    return End({**value, "result": result}, ok=True)


def _result(call: Call, result: Any) -> Mapping[str, Any]:
    shape = RESULTS[call.method]
    try:
        named = normal(result, shape)
    except AmbiguousMemberError as error:
        raise malformed_answer(f"a result with {error}") from None
    if not isinstance(named, dict):
        raise malformed_answer("a result that is not an object")
    if call.method == "GetTask":
        _check_task(named, call.target)
        return named
    present = [name for name in shape.inner if named.get(name) is not None]
    if len(present) != 1 or not isinstance(named[present[0]], dict):
        raise malformed_answer(f"a result without exactly one of {', '.join(shape.inner)}")
    if present[0] == "task":
        _check_task(named["task"], None)
    return named


def _check_task(task: Mapping[str, Any], wanted: str | None) -> None:
    if not isinstance(task.get("id"), str) or not isinstance(task.get("status"), dict):
        raise malformed_answer("a task without id and status")
    if wanted is not None and task["id"] != wanted:
        raise malformed_answer("another task than the one asked for")
