"""From a hop to its records. Decides what is kept, what is only digested, and what is cut short.

Arguments: a digest always (keyed where the tool marks any as sensitive, or isn't registered, so that
nobody knows), the values only where the route asks. Doesn't order, link or store.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw, Struct, to_builtins

from gateway.core.audit.canonical import Digest, canonical_value, digest, token_digest
from gateway.core.audit.record import (
    ApprovalUse,
    ChainFacts,
    DecisionRecord,
    Further,
    MatchedValue,
    MintedFacts,
    OutcomeRecord,
    PolicyFacts,
    RefusedRecord,
    StagedFacts,
    StagedOpinion,
    Verdict,
    Workload,
)
from gateway.core.model import (
    Ask,
    Call,
    Chain,
    ChainToken,
    Decision,
    Deny,
    Determining,
    Given,
    Hop,
    Minted,
    Outcome,
    Peer,
    Permit,
    Presented,
    RootToken,
    Route,
    Uid,
    Usage,
    User,
)
from gateway.core.policy.trial import Staged
from gateway.core.reasons import Reason
from gateway.core.registry import Registry

TEXT_CHARS = 512
"""Longest free text kept of a caller's message: a record must not be a way to fill the disk."""


class Attempt(Struct, frozen=True, kw_only=True):
    """What was known of a hop when it ended before a decision."""

    hop: str
    """Decision id."""
    now: int
    """Unix milliseconds."""
    peer: Peer | None
    route: Route | None = None
    presented: Presented = None
    """The token, if it was verified."""
    call: Call | None = None
    action: str = ""
    """Where there is no call."""
    trace_id: str = ""


def decision_record(
    decision: Decision,
    registry: Registry,
    *,
    digest_key: bytes,
    trace_id: str = "",
    minted: Minted | None = None,
    staged: Staged | None = None,
    facts: Sequence[str] = (),
    usage: Usage | None = None,
) -> DecisionRecord:
    """The record that must be durable before the hop is forwarded.

    ``digest_key`` keys the digests of sensitive arguments: 32 bytes, the same on every instance.
    ``minted`` is what a Permit's Grant carries; only its digest, scopes and ids are kept. ``facts`` names what else
    it was decided from; ``usage`` only where a policy could read it.
    """
    hop, call = decision.hop, decision.hop.call
    verdict, reason = _verdict(decision)
    sensitive = _sensitive(call, registry)
    return DecisionRecord(
        id=hop.id,
        hop=hop.id,
        at=hop.now,
        verdict=verdict,
        reason=reason,
        detail=_short(decision.detail) if isinstance(decision, Deny) else "",
        agent=workload(hop.peer, registry),
        user=None if hop.user is None else hop.user.sub,
        protocol=call.protocol,
        route=hop.route.name,
        method=_short(_method(call)),
        action=call.action,
        resource=_resource(call.resource),
        target=_short(call.target),
        arguments_digest=_arguments_digest(call, digest_key if sensitive else None),
        arguments=_arguments(call, sensitive, digest_key) if hop.route.record_arguments else Raw(b"null"),
        chain=chain_facts(hop.chain),
        policies=tuple(map(_policy, decision.policies)),
        groups=decision.groups if isinstance(decision, Ask) else (),
        bundle=decision.bundle,
        generation=decision.generation,
        trace_id=trace_id,
        minted=None if minted is None else minted_facts(minted),
        upstream_credential=_credential(hop.route, registry),
        asking=hop.asking,
        staged=None if staged is None else staged_facts(staged),
        facts=tuple(facts),
        also=tuple(Further(action, _resource(resource)) for action, resource in call.also),
        origins=tuple((_resource(task), origin) for task, origin in sorted(call.origins.items())),
        usage=usage,
        approval=None if hop.given is None else _use(hop.given),
    )


def _use(given: Given) -> ApprovalUse:
    return ApprovalUse(
        id=given.id, groups=tuple(sorted(given.groups)), approvers=tuple(sorted(given.approvers)), until=given.until
    )


def outcome_record(hop: Hop, outcome: Outcome, duration_ms: int) -> OutcomeRecord:
    """The record of how the hop ended, ``duration_ms`` after it was decided."""
    return OutcomeRecord(
        id=f"{hop.id}.outcome",
        hop=hop.id,
        at=hop.now + duration_ms,
        ok=outcome.ok,
        reason=outcome.reason,
        status=outcome.status,
        detail=_short(outcome.detail),
        bytes_out=outcome.bytes_out,
        events=outcome.events,
        hidden=outcome.hidden,
        duration_ms=duration_ms,
    )


def refused_record(attempt: Attempt, reason: Reason, detail: str, registry: Registry) -> RefusedRecord:
    """The record of a hop that ended before there was anything to decide."""
    call, token, user = attempt.call, attempt.presented, _user(attempt.presented)
    return RefusedRecord(
        id=attempt.hop,
        hop=attempt.hop,
        at=attempt.now,
        reason=reason,
        detail=_short(detail),
        agent=workload(attempt.peer, registry),
        user=None if user is None else user.sub,
        protocol=None if attempt.route is None else attempt.route.protocol,
        route=None if attempt.route is None else attempt.route.name,
        method=None if call is None else _short(call.method),
        action=attempt.action or None if call is None else call.action,
        resource=None if call is None else _resource(call.resource),
        txn=token.txn if isinstance(token, ChainToken) else None,
        parent=None if token is None else token.digest,
        trace_id=attempt.trace_id,
    )


def _method(call: Call) -> str:
    """``GET tools/call`` for a call whose stream is resumed: it isn't made again."""
    again = call.resuming is not None and call.method != call.http_method
    return f"{call.http_method} {call.method}" if again else call.method


def _verdict(decision: Decision) -> tuple[Verdict, Reason]:
    match decision:
        case Permit():
            return "permit", Reason.PERMITTED
        case Ask():
            return "ask", Reason.APPROVAL_REQUIRED
        case Deny(reason=reason):
            return "deny", reason


def _user(presented: Presented) -> User | None:
    return presented.user if isinstance(presented, RootToken | ChainToken) else None


def workload(peer: Peer | None, registry: Registry) -> Workload | None:
    """The caller and who answers for it."""
    if peer is None:
        return None
    agent = registry.agent_of(peer.spiffe_id)
    if agent is None:
        return Workload(
            spiffe_id=peer.spiffe_id, x5t=peer.x5t, proof=peer.proof, forwarder=peer.forwarder, gateway=peer.gateway
        )
    person = registry.people.get(agent.owner)
    return Workload(
        spiffe_id=peer.spiffe_id,
        x5t=peer.x5t,
        proof=peer.proof,
        forwarder=peer.forwarder,
        name=agent.name,
        gateway=peer.gateway,
        owner=agent.owner,
        owner_name=None if person is None else person.name,
        team=agent.team,
    )


def chain_facts(chain: Chain) -> ChainFacts:
    """The delegation so far."""
    return ChainFacts(
        sub=chain.sub,
        txn=chain.txn,
        actors=chain.actors,
        agents=chain.agents,
        depth=chain.depth,
        max_depth=chain.max_depth,
        ceiling=tuple(sorted(chain.ceiling)),
        root_expires=chain.root_expires,
        # Only a chain that a root token began knows that token's client.
        root=chain.parent is None or chain.client != "",
        parent=chain.parent,
        client=chain.client,
        reentry=chain.reentry,
        purpose=chain.purpose,
        via=chain.via,
        way=chain.way,
        possible_parents=() if chain.live is None else chain.live.txns,
        live_depth=0 if chain.live is None else chain.live.depth,
    )


def _policy(policy: Determining) -> PolicyFacts:
    return PolicyFacts(
        id=policy.id,
        tier=policy.tier,
        file=policy.file,
        effect=policy.effect,
        matched=tuple(
            MatchedValue(found.path, canonical_value(to_builtins(found.value, order="sorted")))
            for found in policy.matched
        ),
        approval=policy.approval,
    )


def staged_facts(staged: Staged) -> StagedFacts:
    """What is kept of what drafts would have said."""
    return StagedFacts(
        asked=staged.asked,
        differing=tuple(
            StagedOpinion(
                draft=opinion.draft,
                verdict=opinion.verdict,
                reason=opinion.reason,
                policies=opinion.policies,
                groups=opinion.groups,
                detail=_short(opinion.detail),
            )
            for opinion in staged.differing
        ),
    )


def minted_facts(minted: Minted) -> MintedFacts:
    """What is kept of a token."""
    return MintedFacts(
        jti=minted.jti,
        digest=token_digest(minted.token),
        scope=tuple(sorted(minted.scope)),
        ceiling=tuple(sorted(minted.ceiling)),
        expires=minted.expires,
        gateway=minted.gateway,
    )


def _credential(route: Route, registry: Registry) -> str:
    upstream = registry.upstream_of(route)
    return "" if upstream is None or upstream.third_party is None else upstream.third_party.kind


def _sensitive(call: Call, registry: Registry) -> frozenset[str]:
    """Names of the call's sensitive arguments; all of them where the tool isn't registered."""
    if call.arguments is None or call.resource.type != "Tool":
        return frozenset()
    server, _, name = call.resource.id.partition("/")
    tool = registry.tool(server, name)
    return frozenset(call.arguments if tool is None else tool.sensitive)


def _arguments_digest(call: Call, key: bytes | None) -> Digest | None:
    if call.arguments is not None:
        return digest(call.arguments, key)
    params = call.message.get("params")
    return None if params is None else digest(params, key)


def _arguments(call: Call, sensitive: frozenset[str], key: bytes) -> Raw:
    if call.arguments is None:
        return Raw(b"null")
    shown: Mapping[str, Any] = {
        name: to_builtins(digest(value, key)) if name in sensitive else value for name, value in call.arguments.items()
    }
    return canonical_value(shown)


def _resource(uid: Uid) -> Uid:
    return Uid(uid.type, _short(uid.id))


def _short(text: str) -> str:
    """At most TEXT_CHARS characters of valid Unicode: the text may be a stranger's."""
    cut = text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 1]}…"
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode("utf-8")
