"""Quotas: how much each agent, user, team, tool may do, and whether one more call would be too much.

Each stands for itself: a call must fit in all that apply. Doesn't count (``core.tally``) and decides no policy.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from gateway.core.tally import Tally
from gateway.core.usage import Kind, Measure, Subject

ANY = "*"
Limit = Literal["requests_per_minute", "requests_per_hour", "concurrent", "bytes_per_hour"]
PAUSE = 1_000
"""Milliseconds after which a call may try again that is one too many at once: nobody knows when another ends."""
_MEASURES: Mapping[Limit, Measure] = {
    "requests_per_minute": "requests",
    "requests_per_hour": "requests",
    "concurrent": "concurrent",
    "bytes_per_hour": "bytes",
}
_WORDS: Mapping[Limit, str] = {
    "requests_per_minute": "requests a minute",
    "requests_per_hour": "requests an hour",
    "concurrent": "calls at once",
    "bytes_per_hour": "bytes an hour",
}


class Quota(Struct, frozen=True, kw_only=True):
    """What one subject may do, each at least 1; None: as much as it likes."""

    requests_per_minute: int | None = None
    requests_per_hour: int | None = None
    concurrent: int | None = None
    bytes_per_hour: int | None = None

    def over(self, other: "Quota") -> "Quota":
        """This one, and ``other`` for what it leaves open."""
        mine: dict[str, Any] = {name: getattr(self, name) for name in Quota.__struct_fields__}
        return Quota(**{name: getattr(other, name) if value is None else value for name, value in mine.items()})


NO_QUOTA = Quota()


class Quotas(Struct, frozen=True, kw_only=True):
    """All quotas of a configuration. The more exact one wins, value by value; ``*`` stands for everybody else."""

    named: Mapping[Kind, Mapping[str, Quota]] = {}
    pairs: Mapping[Kind, Mapping[str, Mapping[str, Quota]]] = {}
    """Agent or user → tool → quota."""
    refused_per_minute: int = 1_200
    """Of one peer: requests that end before there is anything to decide."""

    def of(self, subject: Subject) -> Quota:
        """What applies to ``subject``."""
        named = self.named.get(subject.kind)
        if named:
            return _layered(named.get(subject.name), named.get(ANY))
        pairs = self.pairs.get(subject.kind)
        if not pairs:
            return NO_QUOTA
        mine, any_name = pairs.get(subject.name, {}), pairs.get(ANY, {})
        return _layered(mine.get(subject.tool), mine.get(ANY), any_name.get(subject.tool), any_name.get(ANY))


NO_QUOTAS = Quotas()


class Excess(Struct, frozen=True):
    """A quota that one more call would exceed."""

    subject: Subject
    limit: Limit
    most: int
    wait: int | None
    """Milliseconds until the call would fit if the subject did nothing else; None where it never would."""

    @property
    def measure(self) -> Measure:
        """What there would be too much of."""
        return _MEASURES[self.limit]

    def __str__(self) -> str:
        return f"{self.subject} may have {self.most} {_WORDS[self.limit]}"


def excesses(subject: Subject, quota: Quota, tally: Tally, now: int, size: int, *, running: bool) -> Iterable[Excess]:
    """What one request more, of ``size`` bytes, would exceed; ``running``: it is counted among the concurrent ones."""
    minute, hour, most, room = (
        quota.requests_per_minute,
        quota.requests_per_hour,
        quota.concurrent,
        quota.bytes_per_hour,
    )
    if minute is not None and tally.requests_minute.total(now) >= minute:
        yield Excess(subject, "requests_per_minute", minute, tally.requests_minute.wait(now, minute - 1))
    if hour is not None and tally.requests_hour.total(now) >= hour:
        yield Excess(subject, "requests_per_hour", hour, tally.requests_hour.wait(now, hour - 1))
    if most is not None and not running and tally.concurrent >= most:
        yield Excess(subject, "concurrent", most, PAUSE)
    # A call that says nothing of its size needs room for some of it.
    needed = max(size, 1)
    if room is not None and tally.bytes_hour.total(now) + needed > room:
        wait = tally.bytes_hour.wait(now, room - needed) if needed <= room else None
        yield Excess(subject, "bytes_per_hour", room, wait)


def worst(found: Iterable[Excess]) -> Excess | None:
    """The one that takes the longest; after that time no other is in the way."""
    return max(found, key=lambda excess: float("inf") if excess.wait is None else excess.wait, default=None)


def _layered(*quotas: Quota | None) -> Quota:
    found = NO_QUOTA
    for quota in quotas:
        if quota is not None:
            found = quota if found is NO_QUOTA else found.over(quota)
    return found
