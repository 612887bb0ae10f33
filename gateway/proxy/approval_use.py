"""The one use of an approval: taken by compare-and-set before anything is sent, and settled when the hop has ended.

Between the two nothing is ever sent again. Where the gateway knows that nothing was sent, the approval is given back;
where it doesn't know how the call ended, the outcome stays unknown. Doesn't decide.
"""

from gateway.core import approval as life
from gateway.core.approval import Approval
from gateway.core.approval_records import Event, step
from gateway.core.errors import HopError, StoreError
from gateway.core.model import Hop, Outcome
from gateway.core.reasons import Reason
from gateway.proxy.gate import Gate, Passage

NEVER_SENT = frozenset(
    {
        Reason.CONSENT_REQUIRED,
        Reason.UPSTREAM_UNREACHABLE,
        Reason.UPSTREAM_IDENTITY,
        Reason.UPSTREAM_ISSUER_UNAVAILABLE,
    }
)
"""Ends of a call whose upstream never got it: no connection, or not the right one, or no token to show it."""


async def consume(gate: Gate, passage: Passage, hop: Hop) -> None:
    """Take the hop's approval, if it was decided with one: from here on it is used.

    Raises:
        HopError: it isn't there to be used any more; another call was first.
        StoreError: it can't be taken, or not recorded.
    """
    if hop.given is None:
        return
    now = int(gate.clock() * 1000)
    kept = await gate.approvals.find(hop.given.id)
    if kept is None:
        raise HopError(Reason.APPROVAL_EXPIRED, f"approval {hop.given.id} is gone")
    used = life.consume(kept.approval, hop.id, now, passage.edition.approvals.settle_seconds)
    if not await gate.approvals.replace(kept.approval, used):
        raise HopError(Reason.APPROVAL_SPENT, f"approval {used.id} was used by another call meanwhile")
    passage.used = used
    await gate.audit.append(step(used, "consumed", now))
    passage.sending = True


async def settle(gate: Gate, passage: Passage, outcome: Outcome) -> None:
    """Say how the use ended. A failing store costs only that: then it is unknown, in time."""
    used = passage.used
    if used is None:
        return
    passage.used = None
    now = int(gate.clock() * 1000)
    try:
        kept = await gate.approvals.find(used.id)
        # It may be closed already, as one of unknown outcome.
        if kept is None or kept.approval.state not in ("consumed", "unknown"):
            return
        ended = _ended(kept.approval, passage, outcome, now)
        if await gate.approvals.replace(kept.approval, ended):
            event: Event = "released" if ended.state in ("approved", "expired") else "closed"
            await gate.audit.append(step(ended, event, now, hop=used.consumed_by))
    except StoreError as lost:
        gate.log.error("approval not settled", approval=used.id, decision_id=used.consumed_by, detail=lost.detail)


def _ended(kept: Approval, passage: Passage, outcome: Outcome, now: int) -> Approval:
    if kept.state == "consumed" and (not passage.sending or outcome.reason in NEVER_SENT):
        return life.release(kept, now, f"it was not sent: {outcome.reason}")
    detail = outcome.detail or ("" if outcome.ok else str(outcome.reason))
    return life.settle(kept, now, known=outcome.reason is Reason.PERMITTED, detail=detail)
