"""The permitted tool calls of an audit log, as evidence of what agents need.

Counts only calls that were permitted by policy alone and then ended well: no denials, no calls that people approved or
that wait for it, nothing that only staged policies would permit, no calls that failed, no requests of servers. Of what
is left out it says how much, and why.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from gateway.core.audit import DecisionRecord, MatchedValue, OutcomeRecord
from gateway.core.model import Uid
from gateway.core.policy.keeping import Kept
from gateway.core.policy.recommend_terms import Profile, Who
from gateway.core.reasons import Reason
from gateway.core.registry import RISK, Registry

DAY_MS = 86_400_000
Left = Literal[
    "not permitted",
    "approved by people",
    "not a tool call of an agent",
    "did not end well",
    "agent or tool is no longer registered",
    "the user's attributes were not kept",
]
"""Why a decision is no evidence."""


class Request(Struct, frozen=True, order=True):
    """A pattern of use: which agent used which tool for what kind of user."""

    agent: str
    tool: Uid
    who: Who


@dataclass
class Usage:
    """How often a pattern was seen. Times are Unix milliseconds."""

    first: int
    last: int
    calls: int = 0
    recent: int = 0
    """Calls since the beginning of the recent days."""
    days: set[int] = field(default_factory=set)
    """Days since 1970, UTC."""
    people: set[str] = field(default_factory=set)
    depth: int = 1
    """The deepest chain."""
    chain_risk: int = 1
    """The riskiest agent of any chain."""


class Seen(Struct, frozen=True):
    """What a log holds of use."""

    uses: Mapping[Request, Usage]
    left_out: Mapping[str, int]
    """Decisions that are no evidence, by reason."""


def seen(
    decided: Iterable[tuple[DecisionRecord, OutcomeRecord | None]],
    pieces: Mapping[str, Kept],
    registry: Registry,
    recent: int,
) -> Seen:
    """The use that records tell of. ``recent``: Unix milliseconds from which calls count as recent."""
    uses: dict[Request, Usage] = {}
    left: Counter[str] = Counter()
    for record, outcome in decided:
        found = _request(record, outcome, pieces, registry)
        if isinstance(found, str):
            left[found] += 1
            continue
        usage = uses.setdefault(found, Usage(record.at, record.at))
        usage.first, usage.last = min(usage.first, record.at), max(usage.last, record.at)
        usage.calls += 1
        usage.recent += record.at >= recent
        usage.days.add(record.at // DAY_MS)
        usage.people |= set() if record.user is None else {record.user}
        usage.depth = max(usage.depth, record.chain.depth)
        usage.chain_risk = max(usage.chain_risk, _riskiest(record, pieces, registry))
    return Seen(uses, dict(sorted(left.items())))


def _request(
    record: DecisionRecord, outcome: OutcomeRecord | None, pieces: Mapping[str, Kept], registry: Registry
) -> Request | Left:
    if record.verdict != "permit" or record.reason is not Reason.PERMITTED:
        return "not permitted"
    if record.groups or any(_approved(policy.approval, policy.matched) for policy in record.policies):
        return "approved by people"
    if record.agent is None or record.asking or record.action != "invokeTool" or record.resource.type != "Tool":
        return "not a tool call of an agent"
    if outcome is None or not outcome.ok:
        return "did not end well"
    server, _, name = record.resource.id.partition("/")
    if record.agent.name not in registry.agents or registry.tool(server, name) is None:
        return "agent or tool is no longer registered"
    who = _profile(record, pieces)
    return who if isinstance(who, str) else Request(record.agent.name or "", record.resource, who)


def _approved(approval: str | None, matched: Iterable[MatchedValue]) -> bool:
    return approval is not None or any(
        value.path == "context.approved" and bytes(value.value) == b"true" for value in matched
    )


def _profile(record: DecisionRecord, pieces: Mapping[str, Kept]) -> Who | Left:
    """The user as policies saw it then: what its token said, and the groups of both token and registry."""
    if record.user is None:
        return None
    kept = [pieces[digest] for digest in record.facts if digest in pieces]
    for piece in kept:
        if piece.user is not None and piece.user.sub == record.user:
            known = piece.person
            groups = {*piece.user.groups, *(known.groups if known else ())}
            team = known.team if known else None
            return Profile(tuple(sorted({*piece.user.roles})), tuple(sorted(groups)), team or "")
    return "the user's attributes were not kept"


def _riskiest(record: DecisionRecord, pieces: Mapping[str, Kept], registry: Registry) -> int:
    risks = [RISK[piece.agent.risk_level] for digest in record.facts if (piece := pieces.get(digest)) and piece.agent]
    known = [RISK[agent.risk_level] for name in record.chain.agents if (agent := registry.agents.get(name))]
    return max((*risks, *known), default=1)
