"""The record of each step in the life of an approval. Doesn't decide the steps, or store."""

from typing import Literal

from gateway.core.approval import Approval, Vote
from gateway.core.audit import ApprovalRecord

Event = Literal["asked", "approved", "refused", "cancelled", "consumed", "released", "closed"]
TEXT_CHARS = 512


def step(
    approval: Approval, event: Event, now: int, *, by: str = "", hop: str = "", detail: str = ""
) -> ApprovalRecord:
    """The record of what has become of ``approval``. ``now`` in Unix milliseconds."""
    return ApprovalRecord(
        id=f"{approval.id}.{approval.version}.{event}",
        at=now,
        hop=hop or approval.consumed_by or approval.hop,
        approval=approval.id,
        event=event,
        state=approval.state,
        groups=approval.groups,
        by=by,
        binding=approval.binding if event == "asked" else "",
        detail=(detail or approval.detail)[:TEXT_CHARS],
    )


def voted(approval: Approval, said: Vote) -> ApprovalRecord:
    """The record of one person's word; ``approval`` is as it stands with it."""
    return ApprovalRecord(
        id=f"{approval.id}.{approval.version}.vote",
        at=said.at,
        hop=approval.hop,
        approval=approval.id,
        event="approved" if said.yes else "refused",
        state=approval.state,
        groups=said.groups,
        by=said.by,
        comment=said.comment[:TEXT_CHARS],
    )
