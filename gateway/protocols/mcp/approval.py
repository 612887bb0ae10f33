"""What people are shown of an MCP call, and how its client is told to wait for them.

2026-07-28 is answered with ``input_required``, 2025-11-25 with the URL elicitation error where the client opens URLs.
Pure shapes. Doesn't seal states, and doesn't say whether to wait.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from gateway.core.model import Call

KEY = "hopgate-approval"
"""Of the gateway's own input request."""
_NOT_SHOWN = frozenset({"_meta", "requestState"})


def shown(call: Call) -> Mapping[str, Any]:
    """The parameters that decide what is done."""
    params = call.message.get("params", {})
    return {name: value for name, value in params.items() if name not in _NOT_SHOWN}


def waiting(call: Call, state: str, url: str | None, message: str) -> Mapping[str, Any]:
    """The answer that makes the client come again with ``state``; with ``url`` its user is asked to open it first."""
    result: dict[str, Any] = {"resultType": "input_required", "requestState": state}
    if url is not None:
        request = {"method": "elicitation/create", "params": {"mode": "url", "url": url, "message": message}}
        result["inputRequests"] = {KEY: request}
    return {"jsonrpc": "2.0", "id": call.request_id, "result": result}


def declined(call: Call) -> bool:
    """Whether the client's user has declined what the gateway asked."""
    answers = call.message.get("params", {}).get("inputResponses")
    answer = answers.get(KEY) if isinstance(answers, dict) else None
    return isinstance(answer, dict) and answer.get("action") == "decline"


def without_state(call: Call) -> Call:
    """The call as it was made first: without the gateway's state."""
    params = {name: value for name, value in call.message["params"].items() if name != "requestState"}
    return structs.replace(call, message={**call.message, "params": params}, state=None)
