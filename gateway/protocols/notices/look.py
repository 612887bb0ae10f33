"""A notice in words, whatever shows them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.core.webhook_letters import Event, Notice

TITLES: Mapping[Event, str] = {
    "approval.asked": "A call of an agent waits for people",
    "approval.escalated": "Nobody has decided yet",
    "approval.voted": "One more yes; more are needed",
    "approval.approved": "Approved",
    "approval.refused": "Refused",
    "approval.cancelled": "Called off",
    "approval.expired": "Over: not decided, or not used, in time",
    "approval.consumed": "The call is being made",
    "approval.released": "The call was not sent; the approval can still be used",
    "approval.done": "The call was made",
    "approval.unknown": "The call was sent, and nobody knows how it ended",
}


class Look(NamedTuple):
    """A notice in words."""

    title: str
    facts: Sequence[tuple[str, str]]
    """Name and value, both plain text."""
    url: str | None
    approval: str
    decidable: bool
    """Whether somebody may still decide it, as of the notice."""


def look_of(notice: Notice) -> Look:
    """The words for a notice."""
    data = notice.data
    needs = ", ".join(f"{need.group}{' ✓' if need.said_yes else ''}" for need in data.needs)
    said = ", ".join(f"{vote.by} ({vote.verdict})" for vote in data.votes)
    facts = [
        ("What", f"{data.action} on {data.resource}"),
        ("For", data.user),
        ("Through", " → ".join(data.agents)),
        ("Purpose", data.purpose or ""),
        ("Policies", ", ".join(data.policies)),
        ("Needs", needs),
        ("Falls to", data.escalated_to or ""),
        ("Said", said),
        ("Comment", data.votes[-1].comment if data.votes else ""),
        ("State", f"{data.state}: {data.detail}" if data.detail else data.state),
    ]
    return Look(
        title=TITLES[notice.type],
        facts=[(name, value) for name, value in facts if value],
        url=data.url,
        approval=data.id,
        decidable=data.state == "pending",
    )
