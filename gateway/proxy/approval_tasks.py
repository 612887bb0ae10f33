"""The A2A task that stands for an approval: asked for, followed and cancelled like any task, answered by the gateway.

Whose it is was checked, and that the caller may ask was decided, as with every task. Doesn't carry out what was
approved: the client's own message does, sent again.
"""

from collections.abc import Mapping

from gateway.core import approval as life
from gateway.core.approval import Approval
from gateway.core.approval_records import step
from gateway.core.errors import HopError
from gateway.core.model import Call, Hop, Outcome
from gateway.core.reasons import Reason
from gateway.protocols.a2a import approval as a2a
from gateway.proxy import hold, sessions
from gateway.proxy.approval_answers import a2a_answer, text_of
from gateway.proxy.exchange import Answer
from gateway.proxy.forward import finish
from gateway.proxy.gate import Gate, Passage

STATES: Mapping[life.State, a2a.TaskState] = {
    "pending": "AUTH_REQUIRED",
    "approved": "INPUT_REQUIRED",
    "consumed": "WORKING",
    "done": "COMPLETED",
    "unknown": "FAILED",
    "refused": "REJECTED",
    "cancelled": "CANCELED",
    "expired": "FAILED",
}


def is_about(call: Call) -> bool:
    """Whether the call is about a task of the gateway's own."""
    return a2a.is_about(call)


async def answer(gate: Gate, passage: Passage, hop: Hop) -> Answer:
    """The task as it stands; one that is followed, once it has changed or the time for that is over.

    Raises:
        HopError: TASK_UNKNOWN, or CONFLICT where it can't be cancelled any more.
        StoreError: the store can't be asked.
    """
    name, now = a2a.named(hop.call), int(gate.clock() * 1000)
    kept = await gate.approvals.find(name)
    if kept is None or kept.approval.whose != sessions.owner(hop.chain, hop.peer):
        raise HopError(Reason.TASK_UNKNOWN, "no such task for this caller on this route")
    approval = await hold.closed(gate, kept.approval, now)
    if hop.call.action == "cancelTask":
        approval = await _cancelled(gate, approval, now)
    elif hop.call.action == "subscribeTask" and approval.state == "pending":
        approval = (await hold.waited(gate, passage, kept)).approval
    found = a2a_answer(hop.call, name, STATES[approval.state], _text(passage, approval))
    size = len(found.body) if isinstance(found.body, bytes) else 0
    await finish(gate, passage, Outcome(True, Reason.PERMITTED, found.status, bytes_out=size))
    return found


async def _cancelled(gate: Gate, approval: Approval, now: int) -> Approval:
    ended = life.cancel(approval, approval.whose, now, "cancelled by the asker")
    if not await gate.approvals.replace(approval, ended):
        raise HopError(Reason.CONFLICT, "the approval was decided at the same moment")
    await gate.audit.append(step(ended, "cancelled", now, by=ended.ended_by))
    gate.waiters.wake(ended.id)
    return ended


def _text(passage: Passage, approval: Approval) -> str:
    match approval.state:
        case "pending":
            return text_of(passage, approval)
        case "approved":
            return "approved: send the message again to have it carried out"
        case "consumed":
            return "approved, and being carried out"
        case "done":
            return "approved, and carried out; the answer was the message's"
    return life.REASONS[approval.state].meaning.text
