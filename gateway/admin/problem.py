"""Refusals of the admin API as problem documents (RFC 9457), each with its reason and an id."""

from typing import Any

import msgspec

from gateway.admin.policies import PoliciesError
from gateway.admin.request import AdminAnswer, PlaceError
from gateway.core.errors import HopError, TokenError
from gateway.core.reasons import Reason
from gateway.protocols.base import HttpError

RETRY_AFTER_SECONDS = "1"
NO_STORE = ("Cache-Control", "no-store")


def problem(error: HopError, request_id: str) -> AdminAnswer:
    """The whole answer. The id is of the request, and of its record where there is one."""
    meaning = error.reason.meaning
    status = error.status if isinstance(error, HttpError) else meaning.status
    document: dict[str, Any] = {
        "type": f"urn:hopgate:reason:{error.reason}",
        "title": meaning.text,
        "status": status,
        "detail": error.detail,
        "reason": error.reason,
        "id": request_id,
        "path": error.place if isinstance(error, PlaceError) else "",
        "next_step": meaning.next_step,
    }
    if isinstance(error, PoliciesError):
        document["problems"] = error.problems
    headers = [("Content-Type", "application/problem+json"), NO_STORE]
    if status == 503:
        headers.append(("Retry-After", RETRY_AFTER_SECONDS))
    if isinstance(error, HttpError) and error.allow:
        headers.append(("Allow", error.allow))
    if isinstance(error, TokenError) and status == 401:
        missing = error.reason is Reason.TOKEN_MISSING
        headers.append(("WWW-Authenticate", "Bearer" if missing else 'Bearer error="invalid_token"'))
    return AdminAnswer(status, tuple(headers), msgspec.json.encode({k: v for k, v in document.items() if v}))
