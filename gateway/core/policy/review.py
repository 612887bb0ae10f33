"""Which policies are used: when each was last evaluated and last decided, and what to look at. Changes nothing.

Evaluated means that a call came which its scope's action and types could match. A forbid that never hits may be the
best one there is: forbids are never called unused.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from gateway.core.model import Effect, Tier, Uid
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.entities import World
from gateway.core.policy.rule import Rule
from gateway.core.policy.staged_rules import revision
from gateway.core.policy.trial import may_match, of_type

DAY_MS = 86_400_000
Finding = Literal["unused", "never evaluated", "recently edited", "rarely hit", "in use"]
Asked = Mapping[tuple[str, str, bool], int]
"""Action, type of resource, whether an agent asked → Unix milliseconds of the last decision."""


class Reviewed(Struct, frozen=True, kw_only=True):
    """One enforced policy. Times are Unix milliseconds; None: never, as far as the log goes back."""

    policy: str
    effect: Effect
    tier: Tier
    file: str
    owner: str | None
    since: int | None
    """When its present text was first in force."""
    evaluated: int | None
    """The last time, in whatever text."""
    evaluated_as_is: int | None
    """The last time in its present text."""
    determined: int | None
    determined_as_is: int | None
    hits: int
    """Decisions that it determined in the days looked at."""
    finding: Finding


class Used(Struct, frozen=True):
    """What the log says."""

    determined: Mapping[str, tuple[int, int]]
    """Policy → last time, and how often in the days looked at."""
    asked: Asked
    seen: Mapping[tuple[str, str], int]
    """Id and revision → first time in force."""


def reviewed(bundle: Bundle, used: Used, now: int, days: int) -> Iterator[Reviewed]:
    """Every enforced policy by id. ``now`` in Unix milliseconds; ``days`` is how long a policy may rest."""
    for rule in bundle.rules.values():
        since = used.seen.get((rule.id, revision(rule.statement.text)))
        evaluated = _evaluated(rule, used.asked, bundle.world)
        last, hits = used.determined.get(rule.id, (None, 0))
        yield Reviewed(
            policy=rule.id,
            effect=rule.effect,
            tier=rule.place.tier,
            file=rule.statement.path,
            owner=rule.annotations.get("owner"),
            since=since,
            evaluated=evaluated,
            evaluated_as_is=_from(since, evaluated),
            determined=last,
            determined_as_is=_from(since, last),
            hits=hits,
            finding=_finding(rule.effect, since, evaluated, hits, now - days * DAY_MS),
        )


def _finding(effect: Effect, since: int | None, evaluated: int | None, hits: int, start: int) -> Finding:
    if since is None or since > start:
        return "recently edited"
    if hits:
        return "in use"
    if effect == "forbid":
        return "rarely hit"
    return "never evaluated" if evaluated is None or evaluated < start else "unused"


def _evaluated(rule: Rule, asked: Asked, world: World) -> int | None:
    times = [
        at
        for (action, kind, agent), at in asked.items()
        if of_type(rule.tree.principal, "Agent" if agent else "User")
        and may_match(rule.tree, world, action, Uid(kind, ""), by_type=True)
    ]
    return max(times, default=None)


def _from(since: int | None, at: int | None) -> int | None:
    return at if at is not None and since is not None and at >= since else None
