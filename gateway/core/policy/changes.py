"""What differs between two bundles, policy by policy. Says nothing of what the difference does to calls."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from gateway.core.policy.rule import PolicyInfo


class Change(Struct, frozen=True):
    """One policy that is not in both bundles alike."""

    id: str
    kind: Literal["added", "removed", "changed"]
    before: PolicyInfo | None
    after: PolicyInfo | None


def changes(before: Sequence[PolicyInfo], after: Sequence[PolicyInfo]) -> tuple[Change, ...]:
    """By id. Text, tier and file count; where in its file a policy stands doesn't."""
    old, new = {each.id: each for each in before}, {each.id: each for each in after}
    found: list[Change] = []
    for name in sorted({*old, *new}):
        one, other = old.get(name), new.get(name)
        if one is None or other is None:
            found.append(Change(name, "added" if one is None else "removed", one, other))
        elif (one.text, one.tier, one.file) != (other.text, other.tier, other.file):
            found.append(Change(name, "changed", one, other))
    return tuple(found)
