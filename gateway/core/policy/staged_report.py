"""What the records say of staged policies: of each draft since when, how many calls, which would have changed.

Counts what was recorded; evaluates nothing. A draft that was edited is another one, counted from its own beginning.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from gateway.core.audit import DecisionRecord, StagedOpinion
from gateway.core.reasons import Reason

EXAMPLES = 5


class Example(Struct, frozen=True):
    """A call whose verdict would have changed."""

    decision: str
    at: int
    """Unix milliseconds."""
    change: str
    """``permit -> deny``."""
    reason: Reason
    """What the draft's verdict would have said."""
    agent: str | None
    user: str | None
    action: str
    resource: str


class DraftReport(Struct, frozen=True, kw_only=True):
    """One draft, or all together where ``policy`` is None."""

    policy: str | None
    revision: str = ""
    since: int
    """Unix milliseconds of the first call that it concerned."""
    until: int
    """Of the last one."""
    concerned: int
    """Calls that it was tried on."""
    of_all: int
    """Decisions in the same time, whatever they were about."""
    changes: Mapping[str, int]
    """Calls by change of verdict: ``permit -> deny``."""
    errors: int
    """Of the changes, those where the draft could not be evaluated."""
    examples: tuple[Example, ...]
    """The newest of each change."""

    @property
    def differing(self) -> int:
        """Calls that it would have changed."""
        return sum(self.changes.values())


class _Tally(Struct):
    since: int
    until: int = 0
    concerned: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def count(self, record: DecisionRecord, opinion: StagedOpinion | None) -> None:
        self.since, self.until = min(self.since, record.at), max(self.until, record.at)
        self.concerned += 1
        if opinion is None:
            return
        change = f"{record.verdict} -> {opinion.verdict}"
        self.changes[change] += 1
        self.errors += opinion.reason is Reason.POLICY_ERROR
        newest = self.examples.setdefault(change, [])
        newest.append(_example(record, opinion, change))
        newest.sort(key=lambda example: -example.at)
        del newest[EXAMPLES:]


def summed_up(records: Iterable[DecisionRecord]) -> tuple[DraftReport, ...]:
    """A report for each draft by id and age, then for all drafts together where there were several."""
    tallies: dict[str, _Tally] = {}
    together: _Tally | None = None
    times: list[int] = []
    for record in records:
        times.append(record.at)
        if record.staged is None:
            continue
        said = {opinion.draft: opinion for opinion in record.staged.differing}
        for key in record.staged.asked:
            tallies.setdefault(key, _Tally(record.at)).count(record, said.get(key))
        together = together or _Tally(record.at)
        alone = record.staged.asked[0] if len(record.staged.asked) == 1 else ""
        together.count(record, said.get(alone))
    reports = [_report(key, tally, times) for key, tally in tallies.items()]
    reports.sort(key=lambda report: (report.policy or "", report.since))
    return (*reports, *((_report(None, together, times),) if together is not None and len(tallies) > 1 else ()))


def _report(key: str | None, tally: _Tally, times: Iterable[int]) -> DraftReport:
    policy, _, revision = (None, "", "") if key is None else key.rpartition("@")
    return DraftReport(
        policy=policy,
        revision=revision,
        since=tally.since,
        until=tally.until,
        concerned=tally.concerned,
        of_all=sum(tally.since <= at <= tally.until for at in times),
        changes=dict(sorted(tally.changes.items())),
        errors=tally.errors,
        examples=tuple(example for _, found in sorted(tally.examples.items()) for example in found),
    )


def _example(record: DecisionRecord, opinion: StagedOpinion, change: str) -> Example:
    return Example(
        decision=record.hop,
        at=record.at,
        change=change,
        reason=opinion.reason,
        agent=None if record.agent is None else record.agent.name or record.agent.spiffe_id,
        user=record.user,
        action=record.action,
        resource=str(record.resource),
    )
