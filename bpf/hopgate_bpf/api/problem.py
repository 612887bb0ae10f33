"""A refusal as a problem document (RFC 9457). It repeats nothing of a body."""

import msgspec
from aiohttp import web

from hopgate_bpf.rules.refusal import Reason, RefusedError

TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "1"


def problem(refused: RefusedError) -> web.Response:
    """The whole answer."""
    meaning = refused.reason.meaning
    document = {
        "type": f"urn:hopgate-bpf:reason:{refused.reason}",
        "title": meaning.text,
        "status": meaning.status,
        "detail": refused.detail,
        "reason": str(refused.reason),
        "path": refused.path,
        "next_step": meaning.next_step,
    }
    headers = {"Content-Type": TYPE, "Cache-Control": "no-store"}
    if meaning.status in {429, 503}:
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    if refused.reason is Reason.METHOD_NOT_ALLOWED:
        headers["Allow"] = refused.path
        del document["path"]
    body = msgspec.json.encode({name: value for name, value in document.items() if value})
    return web.Response(status=meaning.status, body=body, headers=headers)
