"""What one message of an MCP upstream's answer means, and lists cut to what the caller may call.

Decides pass, list, request of the server, or end. Whatever it can't name is an error: nothing unclassified
reaches a client. Doesn't decide which items to keep, and doesn't answer the server's requests.
"""

from collections.abc import Container, Mapping
from typing import Any

from gateway.core.model import Call
from gateway.protocols.base import About, Classified, End, Inbound, Listing, Pass
from gateway.protocols.jsonrpc import is_id, malformed_answer, read_answer
from gateway.protocols.mcp import tasks
from gateway.protocols.mcp.capabilities import check_declared
from gateway.protocols.mcp.methods import ANSWERABLE, LEGACY, LISTS, META, SERVED, Listed, era_of
from gateway.protocols.mcp.requests import action_of, input_required

PASSED = frozenset(
    {
        "notifications/progress",
        "notifications/message",
        "notifications/cancelled",
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/elicitation/complete",
    }
)
CARRIED_CAPABILITIES = {
    "tools": ("listChanged",),
    "resources": ("listChanged", "subscribe"),
    "prompts": ("listChanged",),
    "completions": (),
    "logging": (),
}
"""What is passed of a server's capabilities, by name, and the members that say more of each."""
SHORT_TTL_MS = 5_000
"""How long a client may keep a list that policy cut: policy changes must show soon."""


def classify(call: Call, value: Any) -> Classified:
    """What ``value``, one parsed message of the answer to ``call``, is.

    ``initialize`` and ``server/discover`` results come back cut to the revisions and capabilities that the gateway
    carries. A tool's own error (``isError``) is the tool's outcome, not a failure of the hop: ok, with a detail.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED.
        ProtocolError: CAPABILITY_MISSING, for input that the client didn't declare it can give.
    """
    if isinstance(value, dict) and "method" in value:
        return _message(call, value)
    if call.method == "GET":
        raise malformed_answer("an answer on a stream that answers nothing")
    answer = read_answer(value, call.request_id)
    if answer.error is not None:
        return End({**value, "id": call.request_id}, ok=False, detail=f"error {answer.error['code']}")
    result = answer.result
    if not isinstance(result, dict):
        raise malformed_answer("a result that is not an object")
    kind = result.get("resultType", "complete")
    if tasks.is_made(call, result):
        return tasks.made(call, value)
    if kind == "input_required" and era_of(call) == "modern" and call.method in ANSWERABLE:
        asks = input_required(value)
        check_declared(call, asks)
        return asks
    if kind != "complete":
        raise malformed_answer("a kind of result that does not belong to this call")
    return _result(call, value, result)


def filter_listing(
    call: Call, value: Mapping[str, Any], keep: Container[str]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The answer to a list ``call`` with only the items in ``keep``, and the ids of the others.

    Order and cursor stay. Modern results become private to the caller and short-lived.
    """
    result, listed = value["result"], LISTS[call.method]
    items = result[listed.member]
    hidden = tuple(item[listed.key] for item in items if item[listed.key] not in keep)
    kept = {**result, listed.member: [item for item in items if item[listed.key] in keep]}
    return {**value, "result": _private(kept)}, hidden


def graceful_end(call: Call) -> Mapping[str, Any] | None:
    """The answer by which a server that stops ends a subscription; None for any other call."""
    if call.method != "subscriptions/listen" or call.request_id is None:
        return None
    result = {"resultType": "complete", "_meta": {META + "subscriptionId": call.request_id}}
    return {"jsonrpc": "2.0", "id": call.request_id, "result": result}


def _message(call: Call, value: Mapping[str, Any]) -> Classified:
    method, params = value["method"], value.get("params", {})
    if value.get("jsonrpc") != "2.0" or not isinstance(method, str) or not isinstance(params, dict):
        raise malformed_answer("a message that is not JSON-RPC 2.0")
    if "result" in value or "error" in value:
        raise malformed_answer("a message that is both request and response")
    if "id" in value:
        if era_of(call) == "modern" or not is_id(value["id"]):
            raise malformed_answer("a request of the server, which this revision does not have")
        return Inbound(value["id"], method, value, action_of(method, params))
    if method == tasks.STATUS[era_of(call)]:
        return tasks.notified(value)
    if method == "notifications/resources/updated" and isinstance(params.get("uri"), str):
        return About(value, "McpResource", params["uri"])
    if method == "notifications/subscriptions/acknowledged" and call.method == "subscriptions/listen":
        return Pass(value)
    if method not in PASSED:
        raise malformed_answer("a notification that does not belong to this call")
    return Pass(value)


def _result(call: Call, value: Mapping[str, Any], result: Mapping[str, Any]) -> Classified:
    listed = LISTS.get(call.method)
    if listed is not None:
        return Listing(value, _ids(listed, result), listed.resource)
    if call.method == "initialize":
        if result.get("protocolVersion") not in LEGACY:
            raise malformed_answer("the server negotiated a revision that is not served")
        return End({**value, "result": _capable(result)}, ok=True)
    if call.method == "server/discover":
        return End({**value, "result": _private(_discovered(result))}, ok=True)
    if call.method.startswith("tasks/"):
        return tasks.answered(call, value, result)
    if call.method == "resources/read":
        return End({**value, "result": _private(result)}, ok=True)
    if call.method == "tools/call" and result.get("isError") is True:
        return End(value, ok=True, detail="tool error")
    return End(value, ok=True)


def _ids(listed: Listed, result: Mapping[str, Any]) -> tuple[str, ...]:
    items = result.get(listed.member)
    if not isinstance(items, list):
        raise malformed_answer(f"a list result without {listed.member}")
    ids = [item[listed.key] for item in items if isinstance(item, dict) and isinstance(item.get(listed.key), str)]
    if len(ids) != len(items):
        raise malformed_answer(f"an item without a {listed.key}")
    if listed.resource == "Tool" and len(set(ids)) != len(ids):
        raise malformed_answer("two tools of one name")
    return tuple(ids)


def _discovered(result: Mapping[str, Any]) -> Mapping[str, Any]:
    versions = result.get("supportedVersions")
    if not isinstance(versions, list):
        raise malformed_answer("a discover result without supportedVersions")
    return {**_capable(result), "supportedVersions": [version for version in versions if version in SERVED]}


def _capable(result: Mapping[str, Any]) -> Mapping[str, Any]:
    capabilities = result.get("capabilities")
    if not isinstance(capabilities, dict):
        raise malformed_answer("a result without capabilities")
    carried: dict[str, Any] = {
        name: {member: True for member in members if capabilities[name].get(member) is True}
        for name, members in CARRIED_CAPABILITIES.items()
        if isinstance(capabilities.get(name), dict)
    }
    return {**result, "capabilities": {**carried, **tasks.capabilities(capabilities)}}


def _private(result: Mapping[str, Any]) -> Mapping[str, Any]:
    if not {"resultType", "cacheScope", "ttlMs"} & result.keys():
        return result
    ttl = result.get("ttlMs")
    short = min(ttl, SHORT_TTL_MS) if isinstance(ttl, int | float) and ttl >= 0 else 0
    return {**result, "cacheScope": "private", "ttlMs": int(short)}
