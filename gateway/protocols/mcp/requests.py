"""What a server may ask of its client, and what each request means to policy.

In sessions a request of its own within the answer; in the stateless revision part of an ``input_required`` result.
Doesn't decide whether it may.
"""

from collections.abc import Mapping
from typing import Any

from gateway.protocols.base import Asks, Inbound
from gateway.protocols.jsonrpc import malformed_answer

REQUESTS = frozenset({"elicitation/create", "sampling/createMessage", "roots/list"})
ACTIONS = {"sampling/createMessage": "sample", "roots/list": "readRoots"}
MOST_REQUESTS = 32


def action_of(method: str, params: Mapping[str, Any]) -> str:
    """The Cedar action of a server's request; "" for one that is never passed on."""
    if method == "elicitation/create":
        return {"form": "elicit", "url": "elicitUrl"}.get(str(params.get("mode", "form")), "")
    return ACTIONS.get(method, "")


def input_required(value: Mapping[str, Any]) -> Asks:
    """The parts of an ``input_required`` answer.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED, a request that no revision knows included.
    """
    result = value["result"]
    asked, state = input_requests(result), result.get("requestState")
    if not isinstance(state, str | None):
        raise malformed_answer("an input_required result without its parts")
    if not asked and state is None:
        raise malformed_answer("an input_required result that asks for nothing")
    return Asks(value, asked, state)


def input_requests(holder: Mapping[str, Any]) -> tuple[Inbound, ...]:
    """What a result, or a task, asks for.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED, a request that no revision knows included.
    """
    asked = holder.get("inputRequests", {})
    if not isinstance(asked, dict) or len(asked) > MOST_REQUESTS:
        raise malformed_answer("input requests that are not an object of at most a few")
    return tuple(_request(key, request) for key, request in asked.items())


def _request(key: str, request: Any) -> Inbound:
    method = request.get("method") if isinstance(request, dict) else None
    params = request.get("params", {}) if isinstance(request, dict) else None
    if not isinstance(method, str) or not isinstance(params, dict):
        raise malformed_answer("an input request without a method")
    action = action_of(method, params)
    if not action:
        raise malformed_answer("an input request of an unknown kind")
    return Inbound(key, method, request, action)
