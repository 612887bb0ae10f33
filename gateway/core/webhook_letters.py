"""What webhooks are told of approvals, to whom, when it is tried again and when it is given up.

A letter is one event for one target; its id stays the same however often it is sent. Pure: time and chance are
arguments. Doesn't sign, send or store; how people see it is ``protocols.notices``'. Arguments of calls are never in it.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, Protocol, get_args

import msgspec
from msgspec import Struct

from gateway.core import approval as life
from gateway.core.approval import Approval, State

Event = Literal[
    "approval.asked",
    "approval.escalated",
    "approval.voted",
    "approval.approved",
    "approval.refused",
    "approval.cancelled",
    "approval.expired",
    "approval.consumed",
    "approval.released",
    "approval.done",
    "approval.unknown",
]
EVENTS: tuple[Event, ...] = get_args(Event)
Standing = Literal["waiting", "delivered", "dead"]
FIRST_SECONDS: Final = 5.0
"""Before the second attempt; three times as long before each further one."""
LONGEST_SECONDS: Final = 4 * 3600.0
"""Between two attempts, whatever the target asks for."""
GONE: Final = 410


class NoticeNeed(Struct, frozen=True, kw_only=True):
    """A group whose yes is needed."""

    group: str
    quorum: int
    said_yes: bool


class NoticeVote(Struct, frozen=True, kw_only=True):
    """One person's word. ``at`` in Unix milliseconds."""

    by: str
    at: int
    verdict: Literal["approve", "refuse"]
    groups: tuple[str, ...]
    comment: str


class NoticeApproval(Struct, frozen=True, kw_only=True):
    """The approval as it stood with the event. ``*_at`` in Unix milliseconds, times ``*_by`` in seconds."""

    id: str
    version: int
    """Grows with each change: of two events the higher one is the later."""
    state: State
    user: str
    """Whom the call is made for."""
    agents: tuple[str, ...]
    """The chain by name, the caller last."""
    actors: tuple[str, ...]
    """The same by SPIFFE ID."""
    route: str
    method: str
    action: str
    resource: str
    purpose: str | None
    policies: tuple[str, ...]
    needs: tuple[NoticeNeed, ...]
    votes: tuple[NoticeVote, ...]
    asked_at: int
    decide_by: int
    use_by: int | None
    ended_at: int | None
    ended_by: str
    detail: str
    hop: str
    """The decision that asked."""
    txn: str
    escalated_to: str | None = None
    """The group that may decide from now on as well; with ``approval.escalated`` only."""
    url: str | None = None
    """A page that says how to decide. It decides nothing."""


class Notice(Struct, frozen=True, kw_only=True):
    """The body of a webhook, in the shape of Standard Webhooks 1.0: type, RFC 3339 time, data."""

    type: Event
    timestamp: str
    data: NoticeApproval


class Letter(Struct, frozen=True, kw_only=True):
    """One event for one target, as it is kept. Times are Unix milliseconds."""

    id: str
    """``webhook-id``: the same with every attempt."""
    target: str
    event: Event
    approval: str
    notice: bytes
    made_at: int
    due: int
    give_up: int
    """From then on it isn't tried again."""
    attempts: int = 0
    standing: Standing = "waiting"
    last_at: int | None = None
    detail: str = ""
    """How the last attempt ended."""


class TargetTerms(Struct, frozen=True, kw_only=True):
    """What one target wants to hear."""

    events: Collection[Event] = EVENTS
    groups: Collection[str] = ()
    """Only of approvals that need one of these; empty: of all."""
    retry_seconds: int = 72 * 3600


class Letters(Protocol):
    """The outbox, shared by all processes. Letters come into it with the approval's change, in its transaction."""

    async def targets(self, now: int) -> tuple[str, ...]:
        """For which targets something is due at ``now`` (Unix milliseconds).

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def claim(self, target: str, now: int, until: int) -> Letter | None:
        """The target's next letter, counted as attempted and nobody else's until ``until``; None: nothing is due.

        Raises:
            StoreError: the store can't be asked; nothing is to be sent.
        """
        ...

    async def settle(self, before: Letter, after: Letter) -> bool:
        """Whether the attempt ``before`` was still the last one, and stands as ``after`` says.

        Raises:
            StoreError: the store can't be asked; it will be tried again once the claim has ended.
        """
        ...

    async def page(self, standing: Standing, before: int | None, limit: int) -> tuple[tuple[int, Letter], ...]:
        """The newest letters of a standing, each with its place, before the one of place ``before``.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def find(self, name: str) -> Letter | None:
        """One letter by its id.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def counts(self) -> Mapping[Standing, int]:
        """How many there are of each standing.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def forget(self, before: int) -> int:
        """How many were deleted that wait no longer and were last tried before then (Unix milliseconds).

        Raises:
            StoreError: the store can't be asked.
        """
        ...


def letters_of(
    before: Approval | None, after: Approval, targets: Mapping[str, TargetTerms], now: int
) -> tuple[Letter, ...]:
    """What is told of a change, to whom. ``before`` is None where it was asked for; ``now`` in Unix milliseconds."""
    found = list[Letter]()
    for name, terms in targets.items():
        if terms.groups and not set(terms.groups) & set(life.deciders(after, 2**62)):
            continue
        found += [
            _letter(name, terms, event, after, now, now) for event in _events(before, after) if event in terms.events
        ]
        if before is None and "approval.escalated" in terms.events:
            found += _escalations(name, terms, after, now)
    return tuple(found)


def still_true(letter: Letter, approval: Approval | None, now: int) -> bool:
    """Whether a letter is worth sending: that it escalates only as long as people are waited for."""
    if letter.event != "approval.escalated":
        return True
    if approval is None or life.as_of(approval, now).state != "pending":
        return False
    group = letter.id.rpartition(".")[2]
    waiting = life.missing(approval)
    return any(str(place) == group and need.group in waiting for place, need in enumerate(approval.needs))


def delay_of(attempts: int, chance: float, asked: float | None = None) -> float:
    """Seconds until the next attempt, after ``attempts`` of them; between half of the back-off and the whole of it.

    ``chance`` is in [0, 1). ``asked`` is what the target asked for by ``Retry-After``: never less, up to the longest.
    """
    whole = min(LONGEST_SECONDS, FIRST_SECONDS * 3.0 ** min(max(0, attempts - 1), 20))
    return min(LONGEST_SECONDS, max(whole * (0.5 + chance / 2), asked or 0.0))


def after_attempt(
    letter: Letter, now: int, chance: float, status: int | None, detail: str = "", asked: float | None = None
) -> Letter:
    """How the letter stands after an attempt at ``now``. ``status`` is the answer's; None: there was none.

    2xx is delivered. 410 says that the target is gone: dead at once. All else is tried again until its time is over:
    a wrong key or a wrong path is often mended within hours.
    """
    said = detail or f"answered {status}"
    done = msgspec.structs.replace(letter, last_at=now, detail=said)
    if status is not None and 200 <= status < 300:
        return msgspec.structs.replace(done, standing="delivered")
    due = now + int(delay_of(letter.attempts, chance, asked) * 1000)
    if status == GONE or due >= letter.give_up:
        return msgspec.structs.replace(done, standing="dead")
    return msgspec.structs.replace(done, due=due)


def again(letter: Letter, now: int) -> Letter:
    """A letter to be sent anew, under the same id, for as long as the first time."""
    longest = max(0, letter.give_up - letter.made_at)
    return msgspec.structs.replace(letter, standing="waiting", due=now, give_up=now + longest, made_at=now, attempts=0)


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds of a ``Retry-After`` header (RFC 9110 §10.2.3); None for none, or one that can't be read.

    ``now`` in Unix seconds.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), int(LONGEST_SECONDS)))
    try:
        at = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
    return min(LONGEST_SECONDS, max(0.0, at.timestamp() - now))


def notice_of(event: Event, approval: Approval, at: int, escalated_to: str | None = None) -> Notice:
    """What is told of an approval. ``at`` in Unix milliseconds."""
    missing = life.missing(approval)
    moment = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = NoticeApproval(
        id=approval.id,
        version=approval.version,
        state=approval.state,
        user=approval.sub,
        agents=approval.agents,
        actors=approval.actors,
        route=approval.route,
        method=approval.method,
        action=approval.action,
        resource=str(approval.resource),
        purpose=approval.purpose,
        policies=approval.policies,
        needs=tuple(
            NoticeNeed(group=need.group, quorum=need.quorum, said_yes=need.group not in missing)
            for need in approval.needs
        ),
        votes=tuple(
            NoticeVote(
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
        ended_at=approval.ended_at,
        ended_by=approval.ended_by,
        detail=approval.detail,
        hop=approval.hop,
        txn=approval.txn,
        escalated_to=escalated_to,
    )
    return Notice(type=event, timestamp=moment, data=data)


def _events(before: Approval | None, after: Approval) -> Iterable[Event]:
    if before is None:
        yield "approval.asked"
        return
    if len(after.votes) > len(before.votes) and after.state == before.state:
        yield "approval.voted"
    if after.state == before.state:
        return
    match after.state:
        case "approved":
            yield "approval.released" if before.state == "consumed" else "approval.approved"
        case "pending":
            return
        case state:
            yield _ENDED[state]


_ENDED: Mapping[State, Event] = {
    "refused": "approval.refused",
    "cancelled": "approval.cancelled",
    "expired": "approval.expired",
    "consumed": "approval.consumed",
    "done": "approval.done",
    "unknown": "approval.unknown",
}


def _escalations(target: str, terms: TargetTerms, approval: Approval, now: int) -> Iterable[Letter]:
    for place, need in enumerate(approval.needs):
        if need.escalate_to is not None and need.escalates < approval.decide_by:
            due = max(now, need.escalates * 1000)
            yield _letter(target, terms, "approval.escalated", approval, now, due, need.escalate_to, f".{place}")


def _letter(
    target: str,
    terms: TargetTerms,
    event: Event,
    approval: Approval,
    now: int,
    due: int,
    escalated_to: str | None = None,
    which: str = "",
) -> Letter:
    notice = notice_of(event, approval, due, escalated_to)
    return Letter(
        id=f"{approval.id}.{approval.version}.{event.partition('.')[2]}.{target}{which}",
        target=target,
        event=event,
        approval=approval.id,
        notice=msgspec.json.encode(notice),
        made_at=now,
        due=due,
        give_up=due + terms.retry_seconds * 1000,
    )
