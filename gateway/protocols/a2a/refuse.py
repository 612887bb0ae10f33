"""A refusal as an A2A 1.0 client reads it: by JSON-RPC or HTTP+JSON, with the protocol's codes where it has one.

Somebody else's task looks like one that never was.
"""

from gateway.core.model import Binding
from gateway.core.reasons import Reason
from gateway.protocols.a2a.http_status import status_reply
from gateway.protocols.a2a.methods import (
    INVALID_AGENT_RESPONSE,
    TASK_NOT_FOUND,
    UNSUPPORTED_OPERATION,
    VERSION_NOT_SUPPORTED,
)
from gateway.protocols.base import METHOD_NOT_FOUND, Refusal, Reply
from gateway.protocols.jsonrpc import Id
from gateway.protocols.refusal import code_of, error_reply, status_of

CODES = {
    Reason.TASK_UNKNOWN: TASK_NOT_FOUND,
    Reason.NOT_SUPPORTED_YET: UNSUPPORTED_OPERATION,
    Reason.VERSION_UNSUPPORTED: VERSION_NOT_SUPPORTED,
    Reason.METHOD_UNKNOWN: METHOD_NOT_FOUND,
    Reason.UPSTREAM_MALFORMED: INVALID_AGENT_RESPONSE,
}
UNSUPPORTED_STATUS = 400
"""HTTP status that A2A gives UnsupportedOperation."""


def refuse(request_id: Id | None, refusal: Refusal, binding: Binding = "jsonrpc") -> Reply:
    """The reply to the request ``request_id``, or to one whose id could not be read (None)."""
    code = CODES.get(refusal.reason, code_of(refusal)) if refusal.code is None else refusal.code
    unsupported = refusal.reason is Reason.NOT_SUPPORTED_YET and refusal.status is None
    status = UNSUPPORTED_STATUS if unsupported else status_of(refusal)
    return status_reply(status, code, refusal) if binding == "http" else error_reply(request_id, code, status, refusal)
