"""A call that people have to approve: found among what was approved, held for a while, or asked for.

A retry starts at the top: it is decided anew, on the policies of then, and an approval only adds what people said of
exactly that call. What the client is told is ``approval_answers``', using it up ``approval_use``'s.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from gateway.core import approval as life
from gateway.core.approval import Approval
from gateway.core.approval_port import KeptApproval
from gateway.core.approval_records import step
from gateway.core.audit import digest
from gateway.core.errors import HopError
from gateway.core.model import Ask, Call, Decision, Deny, Hop
from gateway.core.policy.decide import decide
from gateway.core.reasons import Reason
from gateway.protocols.a2a import approval as a2a
from gateway.protocols.jsonrpc import dump_json
from gateway.protocols.mcp import approval as mcp
from gateway.proxy import sessions
from gateway.proxy.adapters import adapter_of, task_key
from gateway.proxy.gate import Gate, Passage


def shown_of(call: Call) -> Mapping[str, Any]:
    """What people are shown of a call, and what they approve."""
    shown = mcp.shown(call) if call.protocol == "mcp" else a2a.shown(call)
    return {"method": call.method, "target": call.target, "arguments": shown}


async def lifted(gate: Gate, passage: Passage, decision: Decision) -> Decision:
    """The decision with what people have said of the call by now. An Ask is still to be asked, or waits for them.

    Raises:
        HopError: the chain has ended while the call was held.
        StoreError: the store can't be asked.
    """
    hop = passage.hop
    if not isinstance(decision, Ask) or hop is None or not _holdable(hop):
        return decision
    ask = structs.replace(decision, hop=hop)
    passage.binding = life.binding_of(ask, shown_of(hop.call), gate.digest_key)
    kept = await _known(gate, passage)
    if kept is not None and kept.approval.state in ("pending", "approved") and passage.declined:
        kept = await _cancelled(gate, passage, kept)
    if kept is not None and kept.approval.state == "pending":
        kept = await waited(gate, passage, kept)
    passage.held = kept
    if kept is None or kept.approval.state == "pending":
        return decision
    if kept.approval.state != "approved":
        why = f"approval {kept.approval.id} is {kept.approval.state}"
        reason = life.REASONS[kept.approval.state]
        return Deny(hop, reason, decision.policies, decision.bundle, decision.generation, why)
    if gate.edition() is not passage.edition:
        # Other policies hold since the call came: it comes again, and is decided by these.
        return decision
    hop = passage.hop = structs.replace(_alive(gate, hop), given=life.given(kept.approval))
    snapshot = passage.snapshot
    return decide(hop, snapshot.bundle, snapshot.registry, snapshot.generation)


async def asked(gate: Gate, passage: Passage, ask: Ask) -> KeptApproval | None:
    """The approval that the call waits for, asked for unless it is already; None where nobody can be asked.

    Raises:
        HopError: APPROVAL_LIMIT.
        StoreError: it can't be recorded or kept.
    """
    hop, terms = passage.hop, passage.edition.approvals
    if hop is None or not passage.binding:
        return None
    if passage.held is not None:
        return passage.held
    shown = dump_json(shown_of(hop.call))
    if len(shown) > terms.argument_bytes:
        return None
    wanted = _wanted(gate, passage, hop, ask)
    # Before anything takes effect: nobody is asked without a record of it.
    await gate.audit.append(step(wanted, "asked", wanted.asked_at))
    sealed = gate.sealer.seal(shown, life.sealed_as(wanted.id))
    kept = await gate.approvals.ask(wanted, sealed, terms.pending_per_caller)
    if kept is None or kept.approval.id != wanted.id:
        why = "the limit is reached" if kept is None else f"{kept.approval.id} was asked for at the same moment"
        await gate.audit.append(step(life.cancel(wanted, "", wanted.asked_at), "closed", wanted.asked_at, detail=why))
    if kept is None:
        raise HopError(Reason.APPROVAL_LIMIT, f"the limit is {terms.pending_per_caller} open approvals a caller")
    if hop.call.protocol == "a2a":
        await _own(gate, passage, hop, kept.approval)
    return kept


async def closed(gate: Gate, before: Approval, now: int) -> Approval:
    """``before`` as time has left it, kept and recorded. ``now`` in Unix milliseconds."""
    after = life.as_of(before, now)
    if after.state != before.state and await gate.approvals.replace(before, after):
        await gate.audit.append(step(after, "closed", now))
        gate.waiters.wake(after.id)
    return after


async def waited(gate: Gate, passage: Passage, kept: KeptApproval) -> KeptApproval:
    """The approval once it is decided, or once the call has been held for long enough."""
    whose, most = kept.approval.whose, passage.limits.streams_per_agent
    until = gate.clock() + passage.edition.approvals.hold_seconds
    with gate.waiters.holding(whose, most) as may:
        while may and (left := until - gate.clock()) > 0 and not gate.draining.is_set():
            await gate.waiters.pause(kept.approval.id, left)
            found = await gate.approvals.find(kept.approval.id)
            if found is None:
                break
            kept = structs.replace(found, approval=await closed(gate, found.approval, int(gate.clock() * 1000)))
            if kept.approval.state != "pending":
                break
    return kept


def _holdable(hop: Hop) -> bool:
    """Whether the call can be made later: it has an answer, and it is an upstream's to give."""
    call = hop.call
    if call.request_id is None or call.http_method != "POST" or call.resuming is not None:
        return False
    return not adapter_of(call.protocol).answered_here(call) and call.action != "getExtendedCard"


async def _known(gate: Gate, passage: Passage) -> KeptApproval | None:
    """The approval that the client names, or the newest of the call that still stands."""
    now = int(gate.clock() * 1000)
    if passage.named:
        kept = await gate.approvals.find(passage.named)
        if kept is not None and kept.approval.binding == passage.binding:
            return structs.replace(kept, approval=await closed(gate, kept.approval, now))
    kept = await gate.approvals.newest(passage.binding)
    if kept is None:
        return None
    found = await closed(gate, kept.approval, now)
    return structs.replace(kept, approval=found) if _stands(passage, found, now) else None


def _stands(passage: Passage, found: Approval, now: int) -> bool:
    return life.stands_in_the_way(found, now, passage.edition.approvals)


async def _cancelled(gate: Gate, passage: Passage, kept: KeptApproval) -> KeptApproval:
    now = int(gate.clock() * 1000)
    ended = life.cancel(kept.approval, kept.approval.whose, now, "declined by the client's user")
    if not await gate.approvals.replace(kept.approval, ended):
        return kept
    await gate.audit.append(step(ended, "cancelled", now, by=ended.ended_by))
    gate.waiters.wake(ended.id)
    return structs.replace(kept, approval=ended, sealed=None)


def _alive(gate: Gate, hop: Hop) -> Hop:
    """The hop as of now, unless its chain is over: it may have been held."""
    now = int(gate.clock() * 1000)
    ends = (hop.chain.root_expires, hop.chain.until, None if hop.peer is None else hop.peer.not_after)
    if any(end is not None and now // 1000 >= end for end in ends):
        raise HopError(Reason.CHAIN_EXPIRED, "the chain ended while the call waited for approval")
    return structs.replace(hop, now=now)


def _wanted(gate: Gate, passage: Passage, hop: Hop, ask: Ask) -> Approval:
    terms, now, chain, call = passage.edition.approvals, int(gate.clock() * 1000), hop.chain, hop.call
    agents = passage.snapshot.registry.agents
    return Approval(
        id=gate.new_id(),
        binding=passage.binding,
        whose=sessions.owner(chain, hop.peer),
        sub=chain.sub,
        actors=chain.actors,
        agents=chain.agents,
        owners=tuple(dict.fromkeys(agents[name].owner for name in chain.agents if name in agents)),
        route=hop.route.path,
        protocol=call.protocol,
        method=call.method,
        action=call.action,
        resource=call.resource,
        also=call.also,
        arguments=digest(shown_of(call), gate.digest_key).value,
        needs=life.needs_of(ask.groups, terms, now // 1000),
        policies=tuple(policy.id for policy in ask.policies if policy.approval is not None),
        purpose=chain.purpose,
        hop=hop.id,
        txn=chain.txn,
        asked_at=now,
        decide_by=now // 1000 + terms.decide_seconds,
        use_seconds=terms.use_seconds,
    )


async def _own(gate: Gate, passage: Passage, hop: Hop, approval: Approval) -> None:
    """The task that stands for the approval is the asker's, as tasks of agents are."""
    name, terms = a2a.PREFIX + approval.id, passage.edition.approvals
    expires = approval.decide_by + approval.use_seconds + max(terms.again_seconds, passage.limits.task_seconds)
    for key in (task_key(name), f"context:{name}"):
        await gate.tasks.claim(hop.route.path, key, approval.whose, expires)
