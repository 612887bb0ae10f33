"""``/api/v1/webhooks/letters``: what webhooks were told of approvals or could not be, and telling them again."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gateway.admin.cursor import CURSOR_CHARS, opened, sealed
from gateway.admin.endpoint import Asked, Endpoint, Office, Told
from gateway.core.administration import Question
from gateway.core.errors import HopError
from gateway.core.reasons import Reason
from gateway.core.webhook_letters import Event, Letter, Standing, again

PATH = "/api/v1/webhooks/letters"
COLLECTION = "webhooks"


class ShownLetter(Struct, frozen=True, kw_only=True):
    """One event for one target. Times in Unix milliseconds."""

    id: str
    """``webhook-id`` of every attempt."""
    target: str
    event: Event
    approval: str
    standing: Standing
    made_at: int
    attempts: int
    last_at: int | None
    due: int | None
    """Of the next attempt; null where none follows."""
    detail: str
    """How the last attempt ended."""


class LetterSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """Which letters."""

    standing: Standing = "dead"
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=CURSOR_CHARS)] = ""


class LetterPage(Struct, frozen=True):
    """Newest first. ``next`` is the cursor of what follows; null at the end."""

    letters: tuple[ShownLetter, ...]
    next: str | None


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """An empty object."""


async def _may_view(office: Office, asked: Asked) -> Question:
    return Question("view", COLLECTION)


async def _may_redeliver(office: Office, asked: Asked) -> Question:
    return Question("redeliver", COLLECTION, detail=asked.names["id"][:300])


async def _list(office: Office, asked: Asked) -> Told:
    search: LetterSearch = asked.query
    before, context = None, [COLLECTION, search.standing]
    if search.cursor:
        before = msgspec.json.decode(opened(office.sealer, search.cursor, context), type=int)
    found = await office.letters.page(search.standing, before, search.limit)
    follows = sealed(office.sealer, found[-1][0], context) if len(found) == search.limit else None
    return Told(LetterPage(tuple(_shown(letter) for _, letter in found), follows))


async def _redeliver(office: Office, asked: Asked) -> Told:
    found = await office.letters.find(asked.names["id"])
    if found is None:
        raise HopError(Reason.NOT_FOUND, "there is no letter with this id")
    if found.standing == "waiting":
        raise HopError(Reason.CONFLICT, "the letter is being sent already")
    after = again(found, asked.at)
    if not await office.letters.settle(found, after):
        raise HopError(Reason.CONFLICT, "the letter was sent again at the same moment")
    return Told(_shown(after), status=202)


def _shown(letter: Letter) -> ShownLetter:
    return ShownLetter(
        id=letter.id,
        target=letter.target,
        event=letter.event,
        approval=letter.approval,
        standing=letter.standing,
        made_at=letter.made_at,
        attempts=letter.attempts,
        last_at=letter.last_at,
        due=letter.due if letter.standing == "waiting" else None,
        detail=letter.detail,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET", path=PATH, summary="What webhooks were told of approvals, or could not be, newest first.",
        question=_may_view, handle=_list, query=LetterSearch, answer=LetterPage,
    ),
    Endpoint(
        method="POST", path=f"{PATH}/{{id}}/redeliver", summary="Tell it again, under the same id.",
        question=_may_redeliver, handle=_redeliver, body=Nothing, answer=ShownLetter, status=202,
    ),
)  # fmt: skip
