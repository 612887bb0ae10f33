"""The life of one approval: asked for, decided by people, used at most once, closed.

    pending → approved → consumed → done | unknown
    pending → refused | cancelled | expired        approved → cancelled | expired        consumed → approved

Pure: time is an argument. Says what an approval is bound to, who may decide it and what follows; whether the voter has
leave by Cedar is ``core.administration``'s, storing ``core.approval_port``'s, and what the yes permits
``core.policy.decide``'s. The way back from ``consumed`` is for what certainly was never sent.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from msgspec import Struct, structs

from gateway.core.audit import digest
from gateway.core.errors import HopError
from gateway.core.model import Ask, Given, Uid
from gateway.core.reasons import Reason

State = Literal["pending", "approved", "consumed", "done", "unknown", "refused", "cancelled", "expired"]
OPEN: frozenset[State] = frozenset({"pending", "approved", "consumed"})
"""There is one of these for a call at most."""
TOLD_AGAIN: frozenset[State] = frozenset({"refused", "expired", "unknown"})
"""Ends that the same call is told for a while, before it may be asked for anew."""
REASONS: Mapping[State, Reason] = {
    "pending": Reason.APPROVAL_REQUIRED,
    "approved": Reason.APPROVAL_REQUIRED,
    "consumed": Reason.APPROVAL_SPENT,
    "done": Reason.APPROVAL_SPENT,
    "unknown": Reason.APPROVAL_UNKNOWN,
    "refused": Reason.APPROVAL_REFUSED,
    "cancelled": Reason.APPROVAL_CANCELLED,
    "expired": Reason.APPROVAL_EXPIRED,
}
"""Why a call can't go on with an approval in that state."""


class GroupTerms(Struct, frozen=True, kw_only=True):
    """How one group decides: how many of it have to say yes, and who may speak for it once it has been silent."""

    quorum: int = 1
    escalate_to: str | None = None
    escalate_seconds: int = 0


class Terms(Struct, frozen=True, kw_only=True):
    """How approvals are asked for and used; seconds throughout."""

    decide_seconds: int
    """How long people have to decide."""
    use_seconds: int
    """How long what they approved may be used."""
    hold_seconds: float
    """How long a call that asks again waits for them."""
    again_seconds: int
    """How long a refusal, or silence, stands before the same call may be asked for anew."""
    settle_seconds: int
    """After which a use without an outcome is taken for one of unknown outcome."""
    keep_days: int
    pending_per_caller: int
    argument_bytes: int
    """Of the arguments, as people are shown them."""
    url: str | None
    """Base of the pages of approvals; None where there are none."""
    groups: Mapping[str, GroupTerms] = {}

    def of(self, group: str) -> GroupTerms:
        """The terms of a group; those of one that isn't named are the defaults."""
        return self.groups.get(group, GroupTerms())


class Vote(Struct, frozen=True, kw_only=True):
    """One person's word. ``at`` in Unix milliseconds."""

    by: str
    at: int
    yes: bool
    groups: tuple[str, ...]
    """Those that it counts for."""
    comment: str = ""
    user: Uid | None = None
    """The Cedar ``User`` that said it."""


class Need(Struct, frozen=True, kw_only=True):
    """One group whose yes is needed. ``escalates`` in Unix seconds: from then on ``escalate_to`` speaks for it too."""

    group: str
    quorum: int
    escalate_to: str | None = None
    escalates: int = 0


class Approval(Struct, frozen=True, kw_only=True):
    """An approval as it stands. Times are Unix seconds but for ``*_at``, which are milliseconds."""

    id: str
    binding: str
    whose: str
    """Who asked: the person, and the workload that calls for them."""
    sub: str
    actors: tuple[str, ...]
    """SPIFFE IDs of the chain in its order, the caller last."""
    agents: tuple[str, ...]
    owners: tuple[str, ...]
    """``Person.id`` of those who answer for the agents."""
    route: str
    protocol: str
    method: str
    action: str
    resource: Uid
    also: tuple[tuple[str, Uid], ...]
    arguments: str
    """Keyed digest of what people are shown."""
    needs: tuple[Need, ...]
    policies: tuple[str, ...]
    """That asked for it."""
    purpose: str | None
    hop: str
    """Decision id of the call that asked."""
    txn: str
    asked_at: int
    decide_by: int
    use_seconds: int
    state: State = "pending"
    version: int = 1
    votes: tuple[Vote, ...] = ()
    use_by: int | None = None
    consumed_by: str = ""
    """Decision id of the call that used it."""
    settle_by: int | None = None
    ended_at: int | None = None
    ended_by: str = ""
    detail: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """Those whose yes is needed."""
        return tuple(need.group for need in self.needs)

    @property
    def lapses(self) -> int | None:
        """Unix seconds at which it ends by itself; None once it has ended."""
        return {"pending": self.decide_by, "approved": self.use_by, "consumed": self.settle_by}.get(self.state)

    @property
    def is_open(self) -> bool:
        """Whether it is waited for, may be used, or is in use."""
        return self.state in OPEN


def binding_of(ask: Ask, shown: Any, key: bytes) -> str:
    """What an approval holds for, as lowercase hex: user, agents in order, action, resource, arguments, groups.

    ``shown`` is what people are shown of the call. Keyed, for arguments could be guessed. Not the chain's ``txn``: the
    same call under a new root token is the same.
    """
    chain, call = ask.hop.chain, ask.hop.call
    bound = {
        "sub": chain.sub,
        "via": chain.via,
        "actors": list(chain.actors),
        "route": ask.hop.route.path,
        "action": call.action,
        "resource": [call.resource.type, call.resource.id],
        "also": [[action, on.type, on.id] for action, on in call.also],
        "shown": shown,
        "groups": list(ask.groups),
    }
    return digest(bound, key).value


def needs_of(groups: Collection[str], terms: Terms, now: int) -> tuple[Need, ...]:
    """Whose yes is needed; ``now`` in Unix seconds."""
    found = []
    for group in sorted(groups):
        each = terms.of(group)
        escalates = 0 if each.escalate_to is None else now + each.escalate_seconds
        found.append(Need(group=group, quorum=each.quorum, escalate_to=each.escalate_to, escalates=escalates))
    return tuple(found)


def as_of(approval: Approval, now: int) -> Approval:
    """The approval at ``now`` (Unix milliseconds): what time alone has ended is ended."""
    lapses = approval.lapses
    if lapses is None or now // 1000 < lapses:
        return approval
    if approval.state == "consumed":
        return _ended(approval, "unknown", lapses * 1000, "", "no outcome was recorded in time")
    why = "nobody decided in time" if approval.state == "pending" else "it was not used in time"
    return _ended(approval, "expired", lapses * 1000, "", why)


def speaks_for(approval: Approval, member_of: Collection[str], now: int) -> tuple[str, ...]:
    """The needed groups for which a member of ``member_of`` may decide at ``now`` (Unix milliseconds)."""
    return tuple(
        need.group
        for need in approval.needs
        if need.group in member_of
        or (need.escalate_to is not None and need.escalate_to in member_of and now // 1000 >= need.escalates)
    )


def deciders(approval: Approval, now: int) -> tuple[str, ...]:
    """The groups whose members may decide at ``now`` (Unix milliseconds)."""
    escalated = (need.escalate_to for need in approval.needs if now // 1000 >= need.escalates)
    return tuple(dict.fromkeys((*approval.groups, *(group for group in escalated if group is not None))))


def missing(approval: Approval) -> tuple[str, ...]:
    """The groups that have not said yes yet."""

    def said(group: str) -> int:
        return len({vote.by for vote in approval.votes if vote.yes and group in vote.groups})

    return tuple(need.group for need in approval.needs if said(need.group) < need.quorum)


def vote(approval: Approval, said: Vote) -> Approval:
    """The approval with one more word. One no is a no; every group's quorum of different people is a yes.

    The same word of the same person again changes nothing: a double click is one.

    Raises:
        HopError: OWN_APPROVAL, NOT_APPROVER, or CONFLICT: it isn't pending (any more), or they said otherwise.
    """
    approval = as_of(approval, said.at)
    before = next((each for each in approval.votes if each.by == said.by), None)
    if before is not None and before.yes == said.yes and not set(said.groups) - set(before.groups):
        return approval
    if said.by == approval.sub:
        raise HopError(Reason.OWN_APPROVAL, f"the call is made for {approval.sub}")
    if not said.groups:
        raise HopError(Reason.NOT_APPROVER, f"needed is {', '.join(missing(approval) or approval.groups)}")
    if approval.state != "pending" or (before is not None and before.yes != said.yes):
        why = f"it is {approval.state}" if approval.state != "pending" else "the same person said otherwise before"
        raise HopError(Reason.CONFLICT, f"the approval can't be decided: {why}")
    # Who speaks for more groups by now says yes for these too.
    others = tuple(each for each in approval.votes if each is not before)
    found = structs.replace(approval, votes=(*others, said), version=approval.version + 1)
    if not said.yes:
        return structs.replace(found, state="refused", ended_at=said.at, ended_by=said.by, detail=said.comment)
    if missing(found):
        return found
    return structs.replace(found, state="approved", use_by=said.at // 1000 + approval.use_seconds)


def cancel(approval: Approval, by: str, now: int, detail: str = "") -> Approval:
    """The approval called off, as long as nothing was sent. ``now`` in Unix milliseconds.

    Raises:
        HopError: CONFLICT, it is neither waited for nor unused.
    """
    approval = as_of(approval, now)
    if approval.state not in ("pending", "approved"):
        raise HopError(Reason.CONFLICT, f"the approval can't be cancelled: it is {approval.state}")
    return _ended(approval, "cancelled", now, by, detail)


def given(approval: Approval) -> Given:
    """What people have said, as a hop is decided with it. For approved ones only."""
    if approval.state != "approved" or approval.use_by is None:
        raise ValueError(f"approval {approval.id} is {approval.state}")
    people = {vote.user for vote in approval.votes if vote.yes and vote.user is not None}
    return Given(
        id=approval.id, groups=frozenset(approval.groups), approvers=tuple(sorted(people)), until=approval.use_by
    )


def consume(approval: Approval, hop: str, now: int, settle_seconds: int) -> Approval:
    """The approval in use by ``hop``, for good. ``now`` in Unix milliseconds.

    Raises:
        HopError: whatever ended it, APPROVAL_SPENT where another call uses it.
    """
    approval = as_of(approval, now)
    if approval.state != "approved":
        raise HopError(REASONS[approval.state], f"approval {approval.id} is {approval.state}")
    return structs.replace(
        approval,
        state="consumed",
        version=approval.version + 1,
        consumed_by=hop,
        settle_by=now // 1000 + settle_seconds,
    )


def release(approval: Approval, now: int, detail: str) -> Approval:
    """The approval given back by a call that certainly was not sent; its time to be used goes on."""
    if approval.state != "consumed":
        raise ValueError(f"approval {approval.id} is {approval.state}")
    found = structs.replace(
        approval,
        state="approved",
        version=approval.version + 1,
        consumed_by="",
        settle_by=None,
        detail=detail,
    )
    return as_of(found, now)


def settle(approval: Approval, now: int, *, known: bool, detail: str) -> Approval:
    """The approval of a call that has ended: ``done``, or ``unknown`` where nobody knows whether it was carried out.

    An outcome that comes late still is one.
    """
    if approval.state not in ("consumed", "unknown"):
        raise ValueError(f"approval {approval.id} is {approval.state}")
    return _ended(approval, "done" if known else "unknown", now, "", detail)


def stands_in_the_way(approval: Approval, now: int, terms: Terms) -> bool:
    """Whether its end still answers the same call at ``now`` (Unix milliseconds), and nobody is asked anew."""
    if approval.is_open:
        return True
    ended = approval.ended_at or 0
    return approval.state in TOLD_AGAIN and now < ended + terms.again_seconds * 1000


def _ended(approval: Approval, state: State, now: int, by: str, detail: str) -> Approval:
    return structs.replace(
        approval, state=state, version=approval.version + 1, ended_at=now, ended_by=by, detail=detail
    )


def sealed_as(name: str) -> bytes:
    """The context that the arguments of an approval are sealed with."""
    return f"approval {name}".encode()
