"""A refusal as an MCP client reads it: HTTP status and JSON-RPC error of the request's era.

Doesn't choose challenges, and doesn't say whether a refusal is due.
"""

from msgspec import structs

from gateway.core.reasons import Reason
from gateway.protocols.base import INVALID_PARAMS, METHOD_NOT_FOUND, Refusal, Reply
from gateway.protocols.jsonrpc import Id
from gateway.protocols.mcp.methods import CARRIED, Era
from gateway.protocols.refusal import code_of, error_reply, status_of

LEGACY_NOT_FOUND = 400
"""In a legacy session 404 means that the session is gone, and the client starts another one."""

UNKNOWN_TASK = 400


def refuse(request_id: Id | None, era: Era, refusal: Refusal) -> Reply:
    """The reply to the request ``request_id``, or to one whose id could not be read (None)."""
    status = status_of(refusal)
    if refusal.reason is Reason.NOT_SUPPORTED_YET:
        carried = {"carried": sorted(CARRIED), **(refusal.data or {})}
        refusal = structs.replace(refusal, code=refusal.code or METHOD_NOT_FOUND, data=carried)
    if refusal.reason is Reason.ARGUMENTS_INVALID:
        refusal = structs.replace(refusal, code=refusal.code or INVALID_PARAMS)
    if refusal.reason is Reason.TASK_UNKNOWN:
        # As servers say it of a task that never was; and a session's 404 is about the session.
        refusal, status = structs.replace(refusal, code=INVALID_PARAMS), UNKNOWN_TASK
    if refusal.reason is Reason.METHOD_UNKNOWN and era == "legacy":
        status = LEGACY_NOT_FOUND
    return error_reply(request_id, code_of(refusal), status, refusal)
