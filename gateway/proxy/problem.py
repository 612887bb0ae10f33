"""Refusals before any protocol is known, as problem documents (RFC 9457)."""

import msgspec

from gateway.protocols.base import Refusal, Reply


def problem(refusal: Refusal) -> Reply:
    """The whole reply."""
    meaning = refusal.reason.meaning
    document = {
        "title": meaning.text,
        "status": meaning.status,
        "detail": refusal.detail,
        "reason": refusal.reason,
        "decision_id": refusal.decision_id,
        "next_step": meaning.next_step,
    }
    headers = (("Content-Type", "application/problem+json"), ("Cache-Control", "no-store"), *refusal.headers)
    return Reply(meaning.status, headers, msgspec.json.encode({k: v for k, v in document.items() if v}))
