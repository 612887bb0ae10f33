"""Which policies are drafts, ``@mode("staged")`` and ``@mode("staged-delete")``, and the sets they make (POLICY 2.7).

A draft is held to every rule that an enforced policy is held to, so that it can be enforced as it stands. Doesn't
evaluate anything.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from gateway.core.model import Effect, PolicyId, Tier
from gateway.core.policy.rule import Rule
from gateway.core.policy.source import PolicySource, Problem, did_you_mean

STAGED, STAGED_DELETE = "staged", "staged-delete"
MODES = frozenset({STAGED, STAGED_DELETE})
MOST_CHANGES = 32
"""Each costs an evaluation more for every call that it concerns, and a policy set of its own."""

Kind = Literal["add", "replace", "delete"]


class Change(Struct, frozen=True):
    """One staged policy: what enforcing it would do to the bundle."""

    id: PolicyId
    kind: Kind
    revision: str
    """The first 12 hexadecimal digits of the SHA-256 of its text: a draft that is edited is counted anew."""
    tier: Tier
    file: str
    line: int
    effect: Effect

    @property
    def key(self) -> str:
        """``<id>@<revision>``: the draft as records name it."""
        return f"{self.id}@{self.revision}"


class Draft(Struct, frozen=True, eq=False):
    """A change, and the policies that it takes away and adds."""

    change: Change
    before: Rule | None
    after: Rule | None


def is_staged(rule: Rule) -> bool:
    """Whether the policy is outside the enforced set."""
    return "mode" in rule.annotations


def deletes(rule: Rule) -> bool:
    """Whether the policy only stands for the deletion of the enforced one with its id."""
    return rule.annotations.get("mode") == STAGED_DELETE


def mode_problems(enforced: Sequence[Rule], staged: Sequence[Rule]) -> Iterator[Problem]:
    """What is wrong with the drafts' ``@mode``, their ids, their places and their number."""
    known = {rule.id: rule for rule in enforced}
    if len(staged) > MOST_CHANGES:
        message = f"{len(staged)} policies are staged, at most {MOST_CHANGES} can be; enforce or remove some"
        yield staged[MOST_CHANGES].problem(message, "mode")
    for rule in staged:
        mode, target = rule.annotations["mode"], known.get(rule.id)
        if mode not in MODES:
            hint = (
                did_you_mean(mode, MODES) or '; write "staged" or "staged-delete", or remove it to enforce the policy'
            )
            yield rule.problem(f'unknown @mode "{mode}"{hint}', mode)
        if not rule.named:
            yield rule.problem("a staged policy needs an @id, by which it is counted; add one", "mode")
        elif mode == STAGED_DELETE and target is None:
            near = did_you_mean(rule.id, known)
            yield rule.problem(f'@mode("staged-delete") names no enforced policy "{rule.id}"{near}', "mode")
        if target is not None and target.place != rule.place:
            where = target.statement.path
            yield rule.problem(f"the policy that it would replace is in {where}; move the draft to that folder", "mode")


def drafts(enforced: Sequence[Rule], staged: Sequence[Rule]) -> tuple[Draft, ...]:
    """The changes that the staged policies are, by id."""
    known = {rule.id: rule for rule in enforced}
    return tuple(_draft(rule, known.get(rule.id)) for rule in sorted(staged, key=lambda rule: rule.id))


def after(enforced: Sequence[Rule], changes: Sequence[Draft]) -> list[Rule]:
    """The enforced policies as they would be with ``changes``, by id."""
    table: dict[str, Rule] = {rule.id: rule for rule in enforced}
    for draft in changes:
        table.pop(draft.change.id, None)
        if draft.after is not None:
            table[draft.change.id] = draft.after
    return [table[name] for name in sorted(table)]


def without(source: PolicySource, staged: Sequence[Rule], enforced: Mapping[str, int]) -> PolicySource | None:
    """The file without its drafts; None where it holds nothing else. ``enforced`` counts policies by file."""
    mine = [rule.statement.text for rule in staged if rule.statement.path == source.path]
    if mine and not enforced.get(source.path):
        return None
    text = source.text
    for draft in mine:
        text = text.replace(draft, "", 1)
    return PolicySource(source.path, text)


def _draft(rule: Rule, before: Rule | None) -> Draft:
    kind: Kind = "delete" if deletes(rule) else "add" if before is None else "replace"
    change = Change(
        id=rule.id,
        kind=kind,
        revision=revision(rule.statement.text),
        tier=rule.place.tier,
        file=rule.statement.path,
        line=rule.statement.line,
        effect=rule.effect,
    )
    return Draft(change, before, None if kind == "delete" else rule)


def revision(text: str) -> str:
    """The short digest by which two texts of a policy are told apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
