"""A replay summed up: which recorded calls would have ended otherwise, by which policies, and which can't be told."""

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from gateway.core.audit import DecisionRecord
from gateway.core.policy.replay import Answer, Besides, Replay, Undecidable
from gateway.core.reasons import Reason

EXAMPLES = 5
_DEFAULT_DENY = "(no permit matched)"


class Moved(Struct, frozen=True):
    """A call that would have ended otherwise."""

    decision: str
    at: int
    """Unix milliseconds."""
    change: str
    reason: Reason
    policies: tuple[str, ...]
    """That would have determined it."""
    agent: str | None
    user: str | None
    action: str
    resource: str


class ReplayReport(Struct, frozen=True, kw_only=True):
    """All recorded decisions of a time, under other policies."""

    decisions: int
    same: int
    """With the same verdict."""
    redetermined: int
    """Of those, by other policies."""
    besides: int
    """Refused for reasons that no policy could have changed."""
    changes: Mapping[str, int]
    """``permit -> deny``: how many."""
    by_policy: Mapping[str, Mapping[str, int]]
    """The same by policy that would have determined it; a call counts for each of its policies."""
    by_agent: Mapping[str, Mapping[str, int]]
    undecidable: Mapping[str, int]
    """Why: how many."""
    examples: tuple[Moved, ...]
    """The newest of each change."""

    @property
    def differing(self) -> int:
        """Calls that would have ended otherwise."""
        return sum(self.changes.values())


def summed_up(records: Iterable[DecisionRecord], replay: Replay) -> ReplayReport:
    """The report of ``replay`` over ``records``."""
    decisions = same = redetermined = besides = 0
    changes, undecidable = Counter[str](), Counter[str]()
    by_policy: dict[str, Counter[str]] = {}
    by_agent: dict[str, Counter[str]] = {}
    examples: dict[str, list[Moved]] = {}
    for record in records:
        decisions += 1
        match replay.answer(record):
            case Besides():
                besides += 1
            case Undecidable(why=why):
                undecidable[why] += 1
            case Answer(verdict=verdict, policies=policies) if verdict == record.verdict:
                same += 1
                redetermined += {policy.id for policy in record.policies} != set(policies)
            case Answer() as answer:
                moved = _moved(record, answer)
                changes[moved.change] += 1
                for policy in answer.policies or (_DEFAULT_DENY,):
                    by_policy.setdefault(policy, Counter())[moved.change] += 1
                by_agent.setdefault(moved.agent or moved.user or "(nobody)", Counter())[moved.change] += 1
                newest = examples.setdefault(moved.change, [])
                newest.append(moved)
                newest.sort(key=lambda one: -one.at)
                del newest[EXAMPLES:]
    return ReplayReport(
        decisions=decisions,
        same=same,
        redetermined=redetermined,
        besides=besides,
        changes=dict(sorted(changes.items())),
        by_policy={name: dict(by_policy[name]) for name in sorted(by_policy)},
        by_agent={name: dict(by_agent[name]) for name in sorted(by_agent)},
        undecidable=dict(sorted(undecidable.items())),
        examples=tuple(one for _, found in sorted(examples.items()) for one in found),
    )


def _moved(record: DecisionRecord, answer: Answer) -> Moved:
    return Moved(
        decision=record.hop,
        at=record.at,
        change=f"{record.verdict} -> {answer.verdict}",
        reason=answer.reason,
        policies=answer.policies,
        agent=None if record.agent is None else record.agent.name or record.agent.spiffe_id,
        user=record.user,
        action=record.action,
        resource=str(record.resource),
    )
