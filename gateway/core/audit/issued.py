"""The record of a token that the token endpoint issued: a permit without policies, for it grants nothing new.

Whatever is done with the token is decided by policy when it is presented. Doesn't store.
"""

from msgspec import Struct

from gateway.core.audit.build import chain_facts, minted_facts, workload
from gateway.core.audit.record import DecisionRecord, OutcomeRecord
from gateway.core.model import Chain, Minted, Peer, Uid, User
from gateway.core.reasons import Reason
from gateway.core.registry import Registry

PROTOCOL = "oauth"


class Issue(Struct, frozen=True, kw_only=True):
    """One issued token and what it was issued for."""

    id: str
    """Decision id."""
    now: int
    """Unix milliseconds."""
    peer: Peer
    user: User | None
    action: str
    """``exchangeToken``."""
    grant: str
    """How it was asked for, e.g. ``continue`` or ``narrow``."""
    route: str
    """Name of the route that the token is for."""
    resource: Uid
    chain: Chain
    minted: Minted
    bundle: str
    generation: int
    trace_id: str = ""


def issued_record(issue: Issue, registry: Registry) -> DecisionRecord:
    """The record that must be durable before the token is handed out."""
    return DecisionRecord(
        id=issue.id,
        hop=issue.id,
        at=issue.now,
        verdict="permit",
        reason=Reason.PERMITTED,
        agent=workload(issue.peer, registry),
        user=None if issue.user is None else issue.user.sub,
        protocol=PROTOCOL,
        route=issue.route,
        method=issue.grant,
        action=issue.action,
        resource=issue.resource,
        chain=chain_facts(issue.chain),
        bundle=issue.bundle,
        generation=issue.generation,
        trace_id=issue.trace_id,
        minted=minted_facts(issue.minted),
    )


def issued_outcome(issue: Issue, bytes_out: int, duration_ms: int) -> OutcomeRecord:
    """The record that the token was handed out."""
    return OutcomeRecord(
        id=f"{issue.id}.outcome",
        hop=issue.id,
        at=issue.now + duration_ms,
        ok=True,
        reason=Reason.PERMITTED,
        status=200,
        bytes_out=bytes_out,
        duration_ms=duration_ms,
    )
