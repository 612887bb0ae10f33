"""A refusal as a JSON-RPC error reply: what MCP and A2A have in common.

The code is the error's own where the protocol gave it one; a policy denial is 1403, a wait for approval 1428,
and any other end that is the gateway's own is 1000 plus the HTTP status: all outside JSON-RPC's reserved
range, so no client mistakes one for an error of its server. Doesn't choose challenges.
"""

from collections.abc import Mapping

from gateway.core.reasons import Reason
from gateway.protocols.base import INTERNAL_ERROR, INVALID_REQUEST, JSON, Headers, Refusal, Reply
from gateway.protocols.jsonrpc import Id, dump_json

APPROVAL_PENDING = 1428
GATEWAY_CODES = 1000
"""A gateway code is this plus the HTTP status: 1401, 1403, 1404, 1429, 1502, 1503, 1504."""
MALFORMED = frozenset({400, 405, 406, 408, 413, 415})

NO_STORE: Headers = (("Content-Type", JSON), ("Cache-Control", "no-store"))


def status_of(refusal: Refusal) -> int:
    """The HTTP status."""
    return refusal.reason.status if refusal.status is None else refusal.status


def code_of(refusal: Refusal) -> int:
    """The JSON-RPC error code."""
    if refusal.code is not None:
        return refusal.code
    if refusal.reason is Reason.APPROVAL_REQUIRED:
        return APPROVAL_PENDING
    if refusal.reason is Reason.INTERNAL_ERROR:
        return INTERNAL_ERROR
    status = status_of(refusal)
    return INVALID_REQUEST if status in MALFORMED else GATEWAY_CODES + status


def message_of(refusal: Refusal) -> str:
    """One sentence for a person."""
    text = refusal.reason.meaning.text
    return f"{text}: {refusal.detail}" if refusal.detail else text


def data_of(refusal: Refusal) -> Mapping[str, object]:
    """``reason``, ``decision_id``, ``next_step`` and what else is known; the protocol's own members beside them."""
    known = {
        "reason": str(refusal.reason),
        "decision_id": refusal.decision_id,
        "next_step": refusal.reason.meaning.next_step,
        "groups": list(refusal.groups),
        "scopes": list(refusal.scopes),
    }
    return {**(refusal.data or {}), **{name: value for name, value in known.items() if value}}


def error_reply(request_id: Id | None, code: int, status: int, refusal: Refusal) -> Reply:
    """The whole reply. ``request_id`` None is sent as null: the request had none, or none that could be read."""
    error = {"code": code, "message": message_of(refusal), "data": data_of(refusal)}
    body = dump_json({"jsonrpc": "2.0", "id": request_id, "error": error})
    return Reply(status, NO_STORE + refusal.headers, body)
