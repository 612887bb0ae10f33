"""``/api/v1/approvals``: what waits for people, what it would do exactly, and their yes or no.

Leave is Cedar's, from ``policies/admin/``; that a voter is in a needed group, isn't whom the call is made for, and is a
person is checked besides. Arguments are shown only to those who may decide.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct, structs

from gateway.admin.cursor import CURSOR_CHARS, opened, sealed
from gateway.admin.endpoint import Asked, Endpoint, Office, Told
from gateway.core import approval as life
from gateway.core.administration import Question, decide
from gateway.core.approval import OPEN, Approval, State, Vote
from gateway.core.approval_port import KeptApproval
from gateway.core.approval_records import step, voted
from gateway.core.errors import HopError
from gateway.core.model import Uid
from gateway.core.reasons import Reason

PATH = "/api/v1/approvals"
COLLECTION = "approvals"
SCANNED = 500
"""Most approvals that are looked at for one page: of those that wait, a caller may see but a few."""
TRIES = 8
Which = Literal["open", "pending", "approved", "consumed", "done", "unknown", "refused", "cancelled", "expired", "any"]
STATES: Mapping[Which, Collection[State]] = {
    "open": OPEN,
    "any": frozenset(life.REASONS),
    **{state: frozenset({state}) for state in life.REASONS},
}


class Said(Struct, frozen=True, kw_only=True):
    """One person's word. ``at`` in Unix milliseconds."""

    by: str
    at: int
    verdict: Literal["approve", "refuse"]
    groups: tuple[str, ...]
    comment: str


class Needed(Struct, frozen=True, kw_only=True):
    """A group whose yes is needed. From ``escalates`` (Unix seconds) on ``escalate_to`` may give it too."""

    group: str
    quorum: int
    said_yes: bool
    escalate_to: str | None
    escalates: int | None


class ShownApproval(Struct, frozen=True, kw_only=True):
    """An approval. ``*_at`` in Unix milliseconds, ``*_by`` that are times in Unix seconds."""

    id: str
    version: int
    """Also its ETag."""
    state: State
    user: str
    """Whom the call is made for."""
    agents: tuple[str, ...]
    """The chain by name, the caller last."""
    actors: tuple[str, ...]
    """The same by SPIFFE ID."""
    owners: tuple[str, ...]
    route: str
    method: str
    action: str
    resource: str
    purpose: str | None
    policies: tuple[str, ...]
    needs: tuple[Needed, ...]
    votes: tuple[Said, ...]
    asked_at: int
    decide_by: int
    use_by: int | None
    hop: str
    """The decision that asked."""
    txn: str
    consumed_by: str
    """The decision that used it."""
    ended_at: int | None
    ended_by: str
    detail: str
    may_decide: bool
    """Whether the caller may, by policy and group."""
    call: Raw | None
    """Method, target and arguments, for those who may decide, until it is closed."""


class ApprovalSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """Which approvals."""

    state: Which = "pending"
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=CURSOR_CHARS)] = ""


class ApprovalPage(Struct, frozen=True):
    """Newest first, without arguments. ``next`` is the cursor of what follows; null at the end."""

    approvals: tuple[ShownApproval, ...]
    next: str | None


class Word(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says with their decision; it is recorded."""

    comment: Annotated[str, Meta(max_length=512)] = ""


async def _may_list(office: Office, asked: Asked) -> Question:
    return Question("listApprovals", COLLECTION)


async def _may_show(office: Office, asked: Asked) -> Question:
    return _question("showApproval", await _named(office, asked), asked)


async def _may_decide(office: Office, asked: Asked) -> Question:
    return _question("approve", await _named(office, asked), asked)


async def _may_cancel(office: Office, asked: Asked) -> Question:
    return _question("cancelApproval", await _named(office, asked), asked)


async def _list(office: Office, asked: Asked) -> Told:
    search: ApprovalSearch = asked.query
    before = None
    if search.cursor:
        before = msgspec.json.decode(opened(office.sealer, search.cursor, [COLLECTION, search.state]), type=int)
    wanted, page, scanned = STATES[search.state], list[ShownApproval](), 0
    # What time has ended since is stored as open until the sweep.
    stored = wanted if search.state in ("open", "pending") else {*wanted, *OPEN}
    everything = _may(office, asked, Question("view", COLLECTION))
    while len(page) < search.limit and scanned < SCANNED:
        found = await office.approvals.page(stored, before, min(search.limit, SCANNED - scanned))
        if not found:
            return Told(ApprovalPage(tuple(page), None))
        for kept in found:
            scanned, before = scanned + 1, kept.place
            approval = life.as_of(kept.approval, asked.at)
            visible = everything or _may(office, asked, _question("showApproval", approval, asked))
            if approval.state in wanted and visible:
                page.append(_shown(office, asked, approval, None))
            if len(page) == search.limit:
                break
    return Told(ApprovalPage(tuple(page), sealed(office.sealer, before, [COLLECTION, search.state])))


async def _get(office: Office, asked: Asked) -> Told:
    found = await _found(office, asked)
    return _told(office, asked, found)


async def _approve(office: Office, asked: Asked) -> Told:
    return await _decided(office, asked, yes=True)


async def _refuse(office: Office, asked: Asked) -> Told:
    return await _decided(office, asked, yes=False)


async def _decided(office: Office, asked: Asked, *, yes: bool) -> Told:
    """One more word, by compare-and-set: of two people at once, both are heard, each once."""
    for _ in range(TRIES):
        found = await _found(office, asked)
        said = _vote(asked, found.approval, yes=yes)
        after = life.vote(found.approval, said)
        if after.votes == found.approval.votes:
            # The same person's second click.
            return _told(office, asked, found)
        _check_match(asked, found.approval)
        if await office.approvals.replace(found.approval, after):
            # The calls that it lets go on go on once the word is on record.
            await office.audit.append(voted(after, said))
            office.wake(after.id)
            return _told(office, asked, _now(found, after))
    raise HopError(Reason.CONFLICT, "too many people decide it at this moment; try again")


async def _cancel(office: Office, asked: Asked) -> Told:
    found = await _found(office, asked)
    _check_match(asked, found.approval)
    word: Word = asked.body
    after = life.cancel(found.approval, asked.caller.id, asked.at, word.comment)
    if not await office.approvals.replace(found.approval, after):
        raise HopError(Reason.CONFLICT, "the approval was decided at the same moment")
    await office.audit.append(step(after, "cancelled", asked.at, by=asked.caller.id))
    office.wake(after.id)
    return _told(office, asked, _now(found, after))


def _now(found: KeptApproval, after: Approval) -> KeptApproval:
    """What the caller's word made of it, whatever others have done since."""
    return structs.replace(found, approval=after, sealed=found.sealed if after.is_open else None)


async def _named(office: Office, asked: Asked) -> Approval | None:
    """The approval that leave is asked for; who may not see it doesn't learn whether there is one."""
    found = await office.approvals.find(asked.names["id"])
    return None if found is None else found.approval


async def _found(office: Office, asked: Asked) -> KeptApproval:
    found = await office.approvals.find(asked.names["id"])
    if found is None:
        raise HopError(Reason.NOT_FOUND, "there is no approval with this id")
    return found


def _vote(asked: Asked, approval: Approval, *, yes: bool) -> Vote:
    caller, word = asked.caller, asked.body
    if caller.via == "mtls":
        raise HopError(Reason.NOT_APPROVER, "people approve; an agent doesn't")
    # On the host's own socket no group is known: it is the override, and recorded as one.
    groups = approval.groups if caller.via == "socket" else life.speaks_for(approval, caller.groups, asked.at)
    user = Uid("User", caller.id)
    return Vote(by=caller.id, at=asked.at, yes=yes, groups=groups, comment=word.comment, user=user)


def _check_match(asked: Asked, approval: Approval) -> None:
    wanted = asked.headers.get("if-match")
    if wanted not in (None, "*", _etag(approval)[1]):
        raise HopError(Reason.PRECONDITION_FAILED, "the approval is not as it was read")


def _question(action: str, approval: Approval | None, asked: Asked) -> Question:
    who = asked.caller.id
    context = {
        "groups": () if approval is None else tuple(Uid("Group", each) for each in life.deciders(approval, asked.at)),
        "user": approval is not None and who == approval.sub,
        "owner": approval is not None and who in approval.owners,
        "asker": approval is not None and who in (approval.sub, *approval.actors[-1:]),
        "action": "" if approval is None else approval.action,
        "resource": "" if approval is None else str(approval.resource),
    }
    return Question(action, COLLECTION, context)


def _may(office: Office, asked: Asked, question: Question) -> bool:
    if asked.principal is None:
        return True
    return decide(asked.principal, question, office.edition().bundle, asked.at).allowed


def _told(office: Office, asked: Asked, found: KeptApproval) -> Told:
    approval = life.as_of(found.approval, asked.at)
    return Told(_shown(office, asked, approval, found.sealed), headers=(_etag(found.approval),))


def _shown(office: Office, asked: Asked, approval: Approval, arguments: str | None) -> ShownApproval:
    own = asked.caller.via == "socket"
    member = own or bool(life.speaks_for(approval, asked.caller.groups, asked.at))
    may = member and asked.caller.via != "mtls" and asked.caller.id != approval.sub
    may = may and _may(office, asked, _question("approve", approval, asked))
    plain = None
    if may and arguments is not None and approval.is_open:
        plain = office.sealer.open(arguments, life.sealed_as(approval.id))
    missing = life.missing(approval)
    return ShownApproval(
        id=approval.id,
        version=approval.version,
        state=approval.state,
        user=approval.sub,
        agents=approval.agents,
        actors=approval.actors,
        owners=approval.owners,
        route=approval.route,
        method=approval.method,
        action=approval.action,
        resource=str(approval.resource),
        purpose=approval.purpose,
        policies=approval.policies,
        needs=tuple(
            Needed(
                group=need.group,
                quorum=need.quorum,
                said_yes=need.group not in missing,
                escalate_to=need.escalate_to,
                escalates=None if need.escalate_to is None else need.escalates,
            )
            for need in approval.needs
        ),
        votes=tuple(
            Said(
                by=vote.by,
                at=vote.at,
                verdict="approve" if vote.yes else "refuse",
                groups=vote.groups,
                comment=vote.comment,
            )
            for vote in approval.votes
        ),
        asked_at=approval.asked_at,
        decide_by=approval.decide_by,
        use_by=approval.use_by,
        hop=approval.hop,
        txn=approval.txn,
        consumed_by=approval.consumed_by,
        ended_at=approval.ended_at,
        ended_by=approval.ended_by,
        detail=approval.detail,
        may_decide=may and approval.state == "pending",
        call=None if plain is None else Raw(plain),
    )


def _etag(approval: Approval) -> tuple[str, str]:
    return "ETag", f'"{approval.version}"'


_IF_MATCH = {"If-Match": "Decide only what still has this ETag."}

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET", path=PATH, summary="Approvals that the caller may see, newest first.", question=_may_list,
        handle=_list, query=ApprovalSearch, answer=ApprovalPage,
    ),
    Endpoint(
        method="GET", path=f"{PATH}/{{id}}", summary="One approval; with the call's arguments for who may decide it.",
        question=_may_show, handle=_get, answer=ShownApproval,
    ),
    Endpoint(
        method="POST", path=f"{PATH}/{{id}}/approve", summary="Say yes. The last yes that is needed approves it.",
        question=_may_decide, handle=_approve, body=Word, answer=ShownApproval, headers=_IF_MATCH,
    ),
    Endpoint(
        method="POST", path=f"{PATH}/{{id}}/refuse", summary="Say no. One no refuses it.", question=_may_decide,
        handle=_refuse, body=Word, answer=ShownApproval, headers=_IF_MATCH,
    ),
    Endpoint(
        method="POST", path=f"{PATH}/{{id}}/cancel", summary="Call it off, as long as it isn't used.",
        question=_may_cancel, handle=_cancel, body=Word, answer=ShownApproval, headers=_IF_MATCH,
    ),
)  # fmt: skip
