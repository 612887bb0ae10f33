"""Answers and refusals in the HTTP+JSON binding of A2A 1.0 (§11.6): bare results, errors as ``google.rpc.Status``.

An agent's own error keeps its reason; a refusal of the gateway's has the gateway's. Decides no reason itself.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.protocols.base import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Refusal, Reply
from gateway.protocols.jsonrpc import dump_json
from gateway.protocols.refusal import NO_STORE, data_of, message_of

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
A2A_DOMAIN, GATEWAY_DOMAIN = "a2a-protocol.org", "hopgate"


class HttpMeaning(Struct, frozen=True):
    """What a JSON-RPC error code of A2A is by HTTP (§5.4)."""

    status: int
    name: str
    reason: str


MEANINGS: Mapping[int, HttpMeaning] = {
    -32001: HttpMeaning(404, "NOT_FOUND", "TASK_NOT_FOUND"),
    -32002: HttpMeaning(400, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE"),
    -32003: HttpMeaning(400, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED"),
    -32004: HttpMeaning(400, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION"),
    -32005: HttpMeaning(400, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED"),
    -32006: HttpMeaning(500, "INTERNAL", "INVALID_AGENT_RESPONSE"),
    -32007: HttpMeaning(400, "FAILED_PRECONDITION", "EXTENDED_AGENT_CARD_NOT_CONFIGURED"),
    -32008: HttpMeaning(400, "FAILED_PRECONDITION", "EXTENSION_SUPPORT_REQUIRED"),
    -32009: HttpMeaning(400, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED"),
    INVALID_PARAMS: HttpMeaning(400, "INVALID_ARGUMENT", "INVALID_PARAMS"),
    INVALID_REQUEST: HttpMeaning(400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
    METHOD_NOT_FOUND: HttpMeaning(404, "NOT_FOUND", "METHOD_NOT_FOUND"),
    INTERNAL_ERROR: HttpMeaning(500, "INTERNAL", "INTERNAL_ERROR"),
}
UNKNOWN = MEANINGS[INTERNAL_ERROR]
NAMES: Mapping[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Names of ``google.rpc.Code`` by HTTP status; the rest is the client's or the gateway's fault."""


def bare(value: Mapping[str, Any]) -> tuple[int, Any]:
    """HTTP status and body of one JSON-RPC response: its result, or its error as a ``google.rpc.Status``."""
    error = value.get("error")
    if error is None:
        return 200, {} if value["result"] is None else value["result"]
    meaning = MEANINGS.get(error["code"], UNKNOWN)
    return meaning.status, _status(meaning.status, meaning.name, error["message"], _details(error, meaning))


def status_reply(status: int, code: int, refusal: Refusal) -> Reply:
    """A refusal: with A2A's own reason where ``code`` is one of A2A's, else with the gateway's."""
    meaning = MEANINGS.get(code) if code in A2A_CODES else None
    data = {name: _text(value) for name, value in data_of(refusal).items()}
    if meaning is None:
        info = _info(refusal.reason.upper(), GATEWAY_DOMAIN, data)
        name = NAMES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    else:
        info, name = _info(meaning.reason, A2A_DOMAIN, data), meaning.name
    details = [info, *({"@type": RETRY_INFO, "retryDelay": f"{seconds}s"} for seconds in _waits(refusal))]
    body = dump_json(_status(status, name, message_of(refusal), details))
    return Reply(status, NO_STORE + refusal.headers, body)


A2A_CODES = range(-32009, -32000)


def _details(error: Mapping[str, Any], meaning: HttpMeaning) -> list[Any]:
    data = error.get("data")
    if isinstance(data, list) and all(isinstance(item, dict) and "@type" in item for item in data) and data:
        return data
    return [_info(meaning.reason, A2A_DOMAIN, {})]


def _waits(refusal: Refusal) -> list[object]:
    """The seconds after which to come back, where they are known."""
    seconds = (refusal.data or {}).get("retry_after_seconds")
    return [] if seconds is None else [seconds]


def _info(reason: str, domain: str, metadata: Mapping[str, str]) -> Mapping[str, Any]:
    return {"@type": ERROR_INFO, "reason": reason, "domain": domain, "metadata": metadata}


def _status(code: int, name: str, message: str, details: list[Any]) -> Mapping[str, Any]:
    return {"error": {"code": code, "status": name, "message": message, "details": details}}


def _text(value: object) -> str:
    """``ErrorInfo.metadata`` holds strings only."""
    if isinstance(value, list | tuple) and all(isinstance(item, str) and " " not in item for item in value):
        return " ".join(value)
    return value if isinstance(value, str) else dump_json(value).decode()
