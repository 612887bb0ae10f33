"""Tests of policies, in the form of the Cedar command line's ``run-tests``: a request, its entities, what is expected.

A test is asked of Cedar as written, without a registry, so that Cedar's own tool says the same of it. Doesn't read
files. Source: cedar-policy-cli 4.12, ``run-tests``: decisions are equal, given reasons are among the determining
policies, and the number of errors is equal.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec
from cedarpy import Decision, Entities, PolicySet, Schema, is_authorized, pst
from msgspec import Struct

from gateway.core.policy.render import render
from gateway.core.policy.rule import parse_one, policy_set
from gateway.core.policy.source import PolicySource, Problem, statements
from gateway.core.policy.syntax import alone, clauses

MAX_TESTS = 10_000

Trees = Mapping[str, pst.Template]


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """Entity UIDs as Cedar writes them: ``Agent::"analyst"``."""

    principal: str
    action: str
    resource: str
    context: dict[str, Any] = {}


class Expectation(Struct, frozen=True, forbid_unknown_fields=True):
    """One test of a test file."""

    request: Request
    entities: list[dict[str, Any]] | str
    """In Cedar's JSON form, or the name of a file of them beside the test file."""
    decision: Literal["allow", "deny"]
    reason: tuple[str, ...]
    """Ids of policies that must be among the determining ones."""
    num_errors: int
    name: str = ""


class Failure(Struct, frozen=True):
    """How an answer differs from what is expected: a line for each difference."""

    differences: tuple[str, ...]


def read_expectations(text: str) -> tuple[Expectation, ...]:
    """The tests of one file.

    Raises:
        ValueError: the text is no list of tests; says where.
    """
    found = msgspec.json.decode(text, type=list[Expectation])
    if len(found) > MAX_TESTS:
        raise ValueError(f"there are more than {MAX_TESTS} tests; split the file")
    return tuple(found)


def trees_of(sources: Sequence[PolicySource]) -> Trees | Problem:
    """The policies of the files by ``@id``, or else by place, or the first thing that keeps one from being read."""
    found: dict[str, pst.Template] = {}
    for source in sources:
        parts = statements(source)
        if isinstance(parts, Problem):
            return parts
        for index, statement in enumerate(parts):
            tree = parse_one(statement)
            if isinstance(tree, Problem):
                return tree
            name = tree.annotations.get("id") or f"{source.path.removesuffix('.cedar')}#{index}"
            if name in found:
                return Problem(statement.path, statement.line, name, "the id is taken; choose another @id")
            found[name] = tree
    return {name: replace(tree, id=name) for name, tree in found.items()}


def check(
    test: Expectation, entities: Sequence[Mapping[str, Any]], trees: Trees, schema: Schema | None
) -> Failure | None:
    """Ask Cedar; None where the answer is as expected.

    ``entities`` are the test's own, or those of the file that it names.
    """
    request = {
        "principal": test.request.principal,
        "action": test.request.action,
        "resource": test.request.resource,
        "context": json.dumps(test.request.context),
    }
    try:
        handle = Entities.from_json_str(json.dumps(list(entities)), schema)
    except ValueError as error:
        return Failure((f"the entities can't be used: {error}",))
    answer = is_authorized(request, PolicySet.from_pst(policy_set(trees)), handle, schema)
    errors = tuple(answer.diagnostics.errors)
    if answer.decision is Decision.NoDecision:
        return Failure((f"the request can't be asked: {'; '.join(errors)}",))
    decision = "allow" if answer.allowed else "deny"
    reasons = sorted(answer.diagnostics.reasons)
    told = []
    if decision != test.decision:
        told.append(f"decision: expected {test.decision}, got {decision} {_by(reasons)}")
    missing = [name for name in test.reason if name not in reasons]
    if missing and decision == test.decision:
        told.append(f"reason: expected {_names(missing)}, got {_names(reasons)}")
    if len(errors) != test.num_errors:
        told.append(f"errors: expected {test.num_errors}, got {len(errors)}{''.join(f'; {each}' for each in errors)}")
    if told:
        told += [_why(name, request, handle, trees, schema) for name in missing]
    return Failure(tuple(told)) if told else None


def _why(name: str, request: Mapping[str, str], entities: Entities, trees: Trees, schema: Schema | None) -> str:
    """Which clauses of an expected policy didn't hold."""
    tree = trees.get(name)
    if tree is None:
        return f"`{name}` is not among the policies of this test"
    parts = {f"part {index}": part for index, part in enumerate(clauses(tree))}
    asked = {key: alone(key, part) for key, part in parts.items()}
    held = is_authorized(dict(request), PolicySet.from_pst(policy_set(asked)), entities, schema).diagnostics.reasons
    failed = [render(part) for key, part in parts.items() if key not in held]
    return f"`{name}` does not hold: {'; '.join(failed) or 'its action is another'}"


def _by(reasons: Sequence[str]) -> str:
    return f"by {_names(reasons)}" if reasons else "as no policy applies"


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
