"""One question to Cedar, and its answer in three kinds: allowed, denied, or an error, which is never an allow."""

import json
import re
from collections.abc import Iterable
from typing import Any

from cedarpy import Decision, Entities, PolicySet, Schema, is_authorized
from msgspec import Struct

from gateway.core.policy.facts import Facts
from gateway.core.policy.values import encode

_CULPRIT = re.compile(r"error while evaluating policy `([^`]*)`")


class Evaluation(Struct, frozen=True):
    """Cedar's answer. ``policies`` are the determining ids, sorted; none of them means default deny."""

    allowed: bool
    policies: tuple[str, ...] = ()
    error: str | None = None
    """Which policy erred. Cedar's own text may hold argument values, so it is not repeated."""


def evaluate(policies: PolicySet, schema: Schema, facts: Facts, entities: Entities, *, approved: bool) -> Evaluation:
    """Evaluate ``facts`` with ``context.approved`` as given, always against the schema."""
    answer = is_authorized(_request(facts, approved=approved), policies, entities, schema)
    if answer.diagnostics.errors or answer.decision is Decision.NoDecision:
        return Evaluation(False, error=_culprits(answer.diagnostics.errors))
    return Evaluation(answer.allowed, tuple(sorted(answer.diagnostics.reasons)))


def satisfied(permits: PolicySet, schema: Schema, facts: Facts, entities: Entities) -> frozenset[str]:
    """The ids of those permits that hold; one that errs does not. For explanations only, never for a verdict."""
    answer = is_authorized(_request(facts, approved=False), permits, entities, schema)
    return frozenset(answer.diagnostics.reasons)


def _request(facts: Facts, *, approved: bool) -> dict[str, Any]:
    return {
        "principal": {"type": facts.principal.type, "id": facts.principal.id},
        "action": {"type": "Action", "id": facts.action},
        "resource": {"type": facts.resource.type, "id": facts.resource.id},
        # As text: the library would copy the request to write it.
        "context": json.dumps(encode({**facts.context, "approved": approved})),
    }


def failing(errors: Iterable[str]) -> frozenset[str] | None:
    """Ids of the policies that Cedar's errors are about; None where one of them is about no policy."""
    ids = [match.group(1) if (match := _CULPRIT.search(error)) else None for error in errors]
    return None if None in ids else frozenset(each for each in ids if each is not None)


def _culprits(errors: list[str]) -> str:
    ids = sorted(failing(errors) or ())
    if ids:
        return f"policy {', '.join(f'`{name}`' for name in ids)} could not be evaluated"
    return "the request does not fit the schema"
