"""Every way a hop is refused: recorded where there is a caller to record, then told in the protocol's own form.

The one table from errors to replies. Doesn't decide; whoever calls has an error already.
"""

from collections.abc import Mapping

import msgspec

from gateway.core.audit import Attempt, outcome_record, refused_record
from gateway.core.errors import HopError, StoreError, TokenError, UpstreamError
from gateway.core.model import Ask, Deny, Outcome, Route
from gateway.core.policy.explain import near_misses
from gateway.core.reasons import Reason
from gateway.protocols.base import Headers, Refusal, Reply, refusal_of
from gateway.protocols.challenge import challenge
from gateway.proxy.adapters import adapter_of
from gateway.proxy.approval_use import settle
from gateway.proxy.counting import LimitedError
from gateway.proxy.edition import Edition
from gateway.proxy.exchange import Answer, Listener
from gateway.proxy.explained import decision_told
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.wellknown import metadata_path
from gateway.telemetry import semconv

RETRY_AFTER_SECONDS = {429: "5", 503: "1"}


class DeniedError(HopError):
    """A decision that isn't a permit, on its way to the client. Its record exists already."""

    def __init__(self, decision: Ask | Deny, scopes: frozenset[str] = frozenset()) -> None:
        detail = decision.detail if isinstance(decision, Deny) else f"ask {', '.join(decision.groups)}"
        super().__init__(decision.reason if isinstance(decision, Deny) else Reason.APPROVAL_REQUIRED, detail)
        self.decision = decision
        self.scopes = scopes
        """Issuer scopes that would cure an INSUFFICIENT_SCOPE."""


class Told(msgspec.Struct, frozen=True):
    """What an error of the protocol's own says more; None leaves status and code to the reason."""

    data: Mapping[str, object]
    status: int | None = None
    code: int | None = None


class WaitingError(DeniedError):
    """A call that waits for people: how its client is told, natively or by an error."""

    def __init__(self, decision: Ask, *, answer: Answer | None = None, told: Told | None = None) -> None:
        super().__init__(decision)
        self.answer = answer
        self.told = told


async def refuse(gate: Gate, passage: Passage, error: HopError) -> Answer:
    """The answer that ends ``passage``, its record committed first."""
    try:
        await _record(gate, passage, error)
    except StoreError as lost:
        gate.log.error("refusal not recorded", decision_id=passage.id, reason=error.reason, detail=lost.detail)
        error = lost
    observe_failure(gate, passage, error)
    passage.close()
    if isinstance(error, WaitingError) and error.answer is not None:
        return error.answer
    reply = reply_to(gate, passage, error)
    return Answer(reply.status, reply.headers, reply.body)


def reply_to(gate: Gate, passage: Passage, error: HopError) -> Reply:
    """The refusal in the form of the route's protocol, or in the endpoint's where there is none."""
    refusal = _refusal(gate, passage, error)
    if passage.route is None:
        return passage.refused_as(refusal)
    return adapter_of(passage.route.protocol).refuse(passage.call, passage.rest, passage.headers, error, refusal)


async def record_outcome(gate: Gate, passage: Passage, outcome: Outcome) -> None:
    """Record how a decided hop ended. The decision is durable already, so a failing store only costs this record."""
    hop = passage.hop
    if hop is None:
        raise RuntimeError("an outcome without a hop")
    try:
        await gate.audit.append(outcome_record(hop, outcome, passage.milliseconds))
    except StoreError as lost:
        gate.log.error("outcome not recorded", decision_id=passage.id, reason=outcome.reason, detail=lost.detail)
    gate.metrics.stage_took("total", passage.milliseconds / 1000)
    await settle(gate, passage, outcome)


async def _record(gate: Gate, passage: Passage, error: HopError) -> None:
    if isinstance(error, DeniedError):
        return
    if passage.decided:
        outcome = Outcome(ok=False, reason=error.reason, status=error.reason.status, detail=error.detail)
        await record_outcome(gate, passage, outcome)
        return
    if not passage.known:
        gate.metrics.refused_unrecorded(error.reason)
        gate.refusals.refused(error.reason, source=passage.exchange.listener, detail=error.detail)
        return
    attempt = Attempt(
        hop=passage.id,
        now=passage.at,
        peer=passage.exchange.peer,
        route=passage.route,
        presented=passage.presented,
        call=passage.call,
        action=passage.action,
        trace_id=passage.span(gate.tracing).trace_id,
    )
    await gate.audit.append(refused_record(attempt, error.reason, error.detail, passage.snapshot.registry))


def observe_failure(gate: Gate, passage: Passage, error: HopError) -> None:
    """Count the failure and mark the span; a decision that is a denial was counted when it was made."""
    if passage.route is not None and not passage.decided:
        gate.metrics.decided("error", error.reason, passage.route.protocol)
    if isinstance(error, UpstreamError):
        gate.metrics.upstream_failed(error.reason)
    if passage.known:
        span = passage.span(gate.tracing)
        span.set({semconv.HOPGATE_REASON: error.reason, semconv.HTTP_RESPONSE_STATUS_CODE: error.reason.status})
        span.fail(error.reason)


def _refusal(gate: Gate, passage: Passage, error: HopError) -> Refusal:
    refusal = refusal_of(error, passage.id if passage.known else None)
    status = refusal.status or error.reason.status
    headers: Headers = refusal.headers
    if isinstance(error, LimitedError):
        headers += (("Retry-After", str(error.seconds)),)
        refusal = msgspec.structs.replace(refusal, data={"retry_after_seconds": error.seconds})
    elif status in RETRY_AFTER_SECONDS:
        headers += (("Retry-After", RETRY_AFTER_SECONDS[status]),)
    if passage.route is not None:
        headers += _challenges(passage.edition, passage.exchange.listener, passage.route, error)
    refusal = msgspec.structs.replace(refusal, headers=headers)
    if not isinstance(error, DeniedError):
        return refusal
    decision, told = error.decision, error.told if isinstance(error, WaitingError) else None
    if told is not None:
        refusal = msgspec.structs.replace(refusal, status=told.status, code=told.code)
    return msgspec.structs.replace(
        refusal,
        groups=decision.groups if isinstance(decision, Ask) else (),
        scopes=tuple(sorted(error.scopes)),
        data={**_explanation(passage, decision), **({} if told is None else told.data)},
    )


def _explanation(passage: Passage, decision: Ask | Deny) -> Mapping[str, object]:
    """Which rules decided; where the route allows it also by which values, or which permits were missed, by what."""
    found: dict[str, object] = {"policies": [policy.id for policy in decision.policies]}
    if decision.hop.route.explain and decision.policies:
        found["decision"] = decision_told(decision)
    if decision.hop.route.explain and isinstance(decision, Deny) and decision.reason is Reason.NO_PERMIT:
        found["near_misses"] = list(near_misses(decision.hop, passage.snapshot.bundle, passage.snapshot.registry))
    return found


def _challenges(edition: Edition, listener: Listener, route: Route, error: HopError) -> Headers:
    """RFC 6750 §3: how to get a token that serves. Never for a policy's denial, or clients loop on step-up."""
    url = edition.bases[listener] + metadata_path(route)
    if isinstance(error, DeniedError) and error.scopes:
        return (("WWW-Authenticate", challenge(url, error.scopes, "insufficient_scope")),)
    if isinstance(error, TokenError) and error.reason.status == 401:
        missing = error.reason is Reason.TOKEN_MISSING
        first = edition.documents.first_scopes.get(route.path)
        return (("WWW-Authenticate", challenge(url, first, None if missing else "invalid_token")),)
    return ()
