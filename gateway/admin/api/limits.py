"""``/api/v1/limits``: who has used how much lately, in this process, and how much they may.

Read only: quotas are configuration. Whoever did nothing within the hour isn't listed.
"""

from heapq import nlargest
from typing import Annotated

from msgspec import Meta, Struct

from gateway.admin.endpoint import Asked, Endpoint, Office, Told
from gateway.core.administration import Question
from gateway.core.metering import Standing
from gateway.core.quotas import Quota
from gateway.core.tally import Counted
from gateway.core.usage import Kind, Subject

PATH = "/api/v1/limits"
COLLECTION = "limits"
_Text = Annotated[str, Meta(max_length=2048)] | None


class LimitSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """Of whom; all given filters must fit."""

    whose: Kind = "agent"
    name: _Text = None
    """An agent's, user's, team's, tool's or route's name, exactly."""
    tool: _Text = None
    """The tool of a pair."""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class Allowance(Struct, frozen=True):
    """What one has used, and may use; null: no bound."""

    subject: Subject
    """``name`` is empty for all those together for whom there was no room to count them apart."""
    used: Counted
    """``requests_minute`` are of the last 60 to 65 seconds, the others of the last 60 to 65 minutes."""
    quota: Quota


class LimitPage(Struct, frozen=True):
    """Those with the most requests in the hour first, at most ``limit`` of them."""

    limits: tuple[Allowance, ...]
    more: bool
    """Whether there are others that fit."""


async def _may_view(office: Office, asked: Asked) -> Question:
    return Question("view", COLLECTION)


async def _list(office: Office, asked: Asked) -> Told:
    search: LimitSearch = asked.query
    quotas = office.edition().quotas
    fitting = (each for each in office.standings(search.whose) if _fits(each.subject, search))
    found = nlargest(search.limit + 1, fitting, key=_busy)
    page = tuple(Allowance(each.subject, each.counted, quotas.of(each.subject)) for each in found[: search.limit])
    return Told(LimitPage(page, more=len(found) > search.limit))


def _fits(subject: Subject, search: LimitSearch) -> bool:
    return search.name in (None, subject.name) and search.tool in (None, subject.tool)


def _busy(standing: Standing) -> tuple[int, int]:
    return standing.counted.requests_hour, standing.counted.concurrent


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET", path=PATH, summary="Who has used how much lately, the busiest first.", question=_may_view,
        handle=_list, query=LimitSearch, answer=LimitPage,
    ),
)  # fmt: skip
