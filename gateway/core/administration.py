"""Who may administer the gateway: Cedar again, in a bundle of its own that no team publishes (POLICY 2.11).

Default deny; an error denies. A bundle loads whole or not at all. Doesn't authenticate (``admin.callers``) or
record (``admin.desk``).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import rfc8785
from cedarpy import Decision, Entities, PolicySet, Schema, is_authorized, pst, validate_policies
from msgspec import Struct

from gateway.core.model import Uid, User
from gateway.core.policy.rule import parse_one, policy_set
from gateway.core.policy.source import PolicySource, Problem, Statement, did_you_mean, in_order, statements
from gateway.core.policy.values import Instant, encode
from gateway.core.registry import Agent

FOLDER = "admin/"
ANNOTATIONS = frozenset({"id", "owner", "description"})
Principal = User | Agent


class Question(Struct, frozen=True):
    """One thing that somebody wants to do."""

    action: str
    collection: str
    """Of ``Collection``, or the path of a ``PolicyFolder``."""
    context: Mapping[str, Any] = {}
    kind: Literal["Collection", "PolicyFolder"] = "Collection"
    detail: str = ""
    """What the record says of it besides."""


class Verdict(Struct, frozen=True):
    """Cedar's answer, with the ids of the policies that made it; ``error`` where it could not be given."""

    allowed: bool
    policies: tuple[str, ...] = ()
    error: str | None = None


class AdminBundle(Struct, frozen=True, eq=False):
    """Loaded admin policies."""

    digest: str
    """Hex SHA-256 over schema and files."""
    ids: tuple[str, ...]
    policies: PolicySet
    schema: Schema

    def __repr__(self) -> str:
        return f"AdminBundle(digest={self.digest!r}, policies={len(self.ids)})"


def compile_admin(sources: Sequence[PolicySource], schema: str) -> AdminBundle | tuple[Problem, ...]:
    """The bundle of those of ``sources`` that lie in ``admin/``, or every problem that keeps it from loading.

    ``schema`` is the text of ``schemas/admin.cedarschema``. No files make a bundle that denies everything.
    """
    parsed_schema = Schema.from_str(schema)
    files = sorted((source for source in sources if source.path.startswith(FOLDER)), key=lambda source: source.path)
    trees: dict[str, pst.Template] = {}
    problems: list[Problem] = []
    for source in files:
        found = statements(source)
        for statement in () if isinstance(found, Problem) else found:
            problems += _add(trees, statement, parsed_schema)
        problems += [found] if isinstance(found, Problem) else []
    if problems:
        return in_order(problems)
    digest = hashlib.sha256(rfc8785.dumps([schema, [[each.path, each.text] for each in files]])).hexdigest()
    return AdminBundle(digest, tuple(sorted(trees)), PolicySet.from_pst(policy_set(trees)), parsed_schema)


def decide(who: Principal, question: Question, bundle: AdminBundle, now: int, team: str | None = None) -> Verdict:
    """Whether ``who`` may; ``now`` in Unix milliseconds. ``team`` is a person's, as the registry has it."""
    principal, attributes, parents = _entity(who)
    if isinstance(who, User) and team is not None:
        parents = (*parents, Uid("Team", team))
    resource, facts, around = _asked_about(question)
    entities = [
        {"uid": _uid(principal), "attrs": encode(attributes), "parents": [_uid(parent) for parent in parents]},
        *({"uid": _uid(parent), "attrs": {}, "parents": []} for parent in dict.fromkeys((*parents, *around))),
        {"uid": _uid(resource), "attrs": encode(facts), "parents": [_uid(each) for each in around]},
    ]
    request = {
        "principal": _uid(principal),
        "action": {"type": "Action", "id": question.action},
        "resource": _uid(resource),
        "context": json.dumps(encode({**question.context, "now": Instant(now)})),
    }
    try:
        handle = Entities.from_json_str(json.dumps(entities), bundle.schema)
    except ValueError:
        return Verdict(False, error="the caller does not fit the schema")
    answer = is_authorized(request, bundle.policies, handle, bundle.schema)
    if answer.diagnostics.errors or answer.decision is Decision.NoDecision:
        # Cedar skips an erring forbid; its text may hold what the caller sent.
        return Verdict(False, error="the admin policies could not be evaluated")
    return Verdict(answer.allowed, tuple(sorted(answer.diagnostics.reasons)))


def _add(trees: dict[str, pst.Template], statement: Statement, schema: Schema) -> list[Problem]:
    """Put the statement's policy into ``trees``, or say what is wrong with it."""
    tree = parse_one(statement)
    if isinstance(tree, Problem):
        return [tree]
    name = tree.annotations.get("id")

    def problem(message: str) -> list[Problem]:
        return [Problem(statement.path, statement.line, name, message)]

    if name is None:
        return problem("the policy has no @id; records name it by that")
    if name in trees:
        return problem("the id is taken by another admin policy; choose another @id")
    for annotation in tree.annotations:
        if annotation not in ANNOTATIONS:
            return problem(f"unknown annotation @{annotation}{did_you_mean(annotation, ANNOTATIONS)}")
    named = replace(tree, id=name)
    text = str(PolicySet.from_pst(policy_set({name: named})))
    result = validate_policies(text, schema)
    if not result.validation_passed:
        return problem("; ".join(error.error.partition(", ")[2] or error.error for error in result.errors))
    trees[name] = named
    return []


def _entity(who: Principal) -> tuple[Uid, Mapping[str, Any], tuple[Uid, ...]]:
    if isinstance(who, User):
        email = {} if who.email is None else {"email": who.email}
        attributes = {"issuer": who.issuer, "subject": who.subject, "roles": who.roles, **email}
        return Uid("User", who.sub), attributes, _groups(who.groups)
    attributes = {
        "spiffe_id": who.spiffe_id,
        "owner": who.owner,
        "team": who.team,
        "environment": who.environment,
        "risk_level": who.risk_level,
    }
    classes = tuple(Uid("AgentClass", name) for name in dict.fromkeys(who.classes))
    return who.uid, attributes, (*_groups(who.groups), *classes, Uid("Team", who.team))


def _asked_about(question: Question) -> tuple[Uid, Mapping[str, Any], tuple[Uid, ...]]:
    """What is administered, its attributes, and what it is in."""
    uid = Uid(question.kind, question.collection)
    if question.kind == "Collection":
        return uid, {}, ()
    tier, _, name = question.collection.partition("/")
    team = Uid("Team", name)
    return uid, {"tier": tier, **({"team": team} if name else {})}, (team,) if name else ()


def _groups(names: Sequence[str]) -> tuple[Uid, ...]:
    return tuple(Uid("Group", name) for name in dict.fromkeys(names))


def _uid(uid: Uid) -> dict[str, str]:
    return {"type": uid.type, "id": uid.id}
