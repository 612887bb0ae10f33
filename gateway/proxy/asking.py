"""A server's request to its caller as a hop of its own: the server is the principal, who called it the resource.

Decides on the policies of the moment, which a stream may have outlived, and records before anything is passed on.
"""

from gateway.core.audit import decision_record, outcome_record
from gateway.core.errors import StoreError
from gateway.core.model import Call, Decision, Hop, Outcome, Permit, Uid
from gateway.core.policy.decide import decide
from gateway.core.reasons import Reason
from gateway.protocols.base import Inbound
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.staged import staged


async def decide_request(gate: Gate, passage: Passage, hop: Hop, request: Inbound) -> Decision:
    """The recorded decision on what the server behind ``hop`` asks.

    Raises:
        StoreError: it can't be recorded, and so must not be passed on.
    """
    snapshot = gate.edition().snapshot
    asking = _asking(hop, request, gate.new_id(), int(gate.clock() * 1000))
    decision = decide(asking, snapshot.bundle, snapshot.registry, snapshot.generation)
    trace_id = passage.span(gate.tracing).trace_id
    said = staged(gate, decision, snapshot)
    pieces = gate.kept.pieces(asking, snapshot.bundle)
    facts = [piece.digest for piece in pieces]
    record = decision_record(
        decision,
        snapshot.registry,
        digest_key=gate.digest_key,
        trace_id=trace_id,
        staged=said,
        facts=facts,
        usage=asking.usage if snapshot.bundle.reads_usage else None,
    )
    unwritten = gate.kept.unwritten(pieces, asking.now)
    await gate.audit.append(record, *unwritten)
    gate.kept.written(unwritten)
    gate.metrics.decided(record.verdict, record.reason, asking.call.protocol)
    gate.metrics.evaluated([policy.id for policy in decision.policies], gate.clock())
    if isinstance(decision, Permit):
        try:
            await gate.audit.append(outcome_record(asking, Outcome(True, Reason.PERMITTED, 200), 0))
        except StoreError as lost:
            gate.log.error("outcome not recorded", decision_id=asking.id, detail=lost.detail)
    return decision


def _asking(hop: Hop, request: Inbound, decision_id: str, now: int) -> Hop:
    asked = Uid("Agent", hop.agent) if hop.agent is not None else Uid("User", hop.chain.sub)
    call = Call(
        protocol=hop.call.protocol,
        version=hop.call.version,
        method=request.method,
        action=request.action,
        resource=asked,
        message=request.value,
        request_id=request.request_id,
    )
    return Hop(
        id=decision_id,
        route=hop.route,
        peer=hop.peer,
        agent=hop.agent,
        user=hop.user,
        call=call,
        chain=hop.chain,
        now=now,
        asking=hop.route.name,
        usage=hop.usage,
    )
