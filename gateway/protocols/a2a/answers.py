"""The upstream's request for an A2A ``Call``, and what one message of its answer means.

Decides pass, list or end; A2A has no requests of the agent to the client. Whatever it can't name is an error. Doesn't
learn who owns the tasks (``ids.task_ids`` finds them), or when a stream ends: it ends when the upstream's does.
"""

from collections.abc import Container, Mapping
from typing import Any

from gateway.core.model import Call
from gateway.protocols.a2a.methods import CARD_METHOD, CARD_PATH
from gateway.protocols.a2a.results import read_result
from gateway.protocols.base import JSON, SSE, Classified, End, Listing, Outgoing, Pass, trace_headers
from gateway.protocols.jsonrpc import dump_json, read_answer


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
    if call.action == "deletePushConfig" and isinstance(value, dict) and not {"result", "error"} & value.keys():
        # The official server of 0.3 leaves out a result that says nothing.
        value = {**value, "result": None}
    answer = read_answer(value, call.request_id)
    if answer.error is not None:
        return End({**value, "id": call.request_id}, ok=False, detail=f"error {answer.error['code']}")
    if call.action == "getExtendedCard":
        return End(value, ok=True)
    result = read_result(call, answer.result)
    sent = {**value, "result": result}
    if call.action == "listTasks":
        return Listing(sent, tuple(task["id"] for task in result["tasks"]))
    return Pass(sent) if call.streaming else End(sent, ok=True)


def filter_listing(value: Mapping[str, Any], keep: Container[str]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The list of tasks cut to ``keep``, and the ids that it lost."""
    result = value["result"]
    kept = [task for task in result["tasks"] if task["id"] in keep]
    hidden = tuple(task["id"] for task in result["tasks"] if task["id"] not in keep)
    # The upstream's total counts other callers' tasks.
    return {**value, "result": {**result, "tasks": kept, "totalSize": len(kept)}}, hidden
