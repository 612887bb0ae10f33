import json

import pytest

from gateway.core.reasons import Reason
from gateway.protocols.base import Refusal
from gateway.protocols.refusal import code_of, data_of, error_reply, message_of, status_of


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.NO_PERMIT, 1403),
        (Reason.FORBIDDEN, 1403),
        (Reason.TOOL_UNKNOWN, 1403),
        (Reason.APPROVAL_REQUIRED, 1428),
        (Reason.TOKEN_MISSING, 1401),
        (Reason.SESSION_UNKNOWN, 1404),
        (Reason.TOO_MANY_STREAMS, 1429),
        (Reason.UPSTREAM_TIMEOUT, 1504),
        (Reason.AUDIT_UNAVAILABLE, 1503),
        (Reason.INTERNAL_ERROR, -32603),
        (Reason.BODY_TOO_LARGE, -32600),
        (Reason.HEADER_DUPLICATE, -32600),
    ],
)
def test_codes(reason: Reason, code: int) -> None:
    assert code_of(Refusal(reason=reason)) == code


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_can_be_told(reason: Reason) -> None:
    refusal = Refusal(reason=reason, detail="thing", decision_id="d1")
    reply = error_reply("a", code_of(refusal), status_of(refusal), refusal)
    body = json.loads(reply.body)
    assert reply.status == reason.status
    assert body["error"]["data"]["reason"] == str(reason)
    assert body["error"]["data"]["decision_id"] == "d1"
    assert not -32768 <= body["error"]["code"] <= -32000 or body["error"]["code"] in (-32600, -32603)
    assert dict(reply.headers)["Cache-Control"] == "no-store"


def test_what_a_person_reads() -> None:
    refusal = Refusal(reason=Reason.APPROVAL_REQUIRED, detail="pay", groups=("finance-leads",), scopes=("s",))
    assert message_of(refusal) == "a person has to approve the call: pay"
    assert data_of(refusal) == {
        "reason": "approval_required",
        "next_step": "ask the groups named in the decision",
        "groups": ["finance-leads"],
        "scopes": ["s"],
    }


def test_the_protocols_own_data_can_not_hide_the_reason() -> None:
    refusal = Refusal(reason=Reason.NO_PERMIT, data={"reason": "other", "supported": ["1.0"]})
    assert data_of(refusal)["reason"] == "no_permit"
    assert data_of(refusal)["supported"] == ["1.0"]
