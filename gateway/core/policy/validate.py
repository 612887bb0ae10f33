"""Strict validation against the schema, and the one reading of a permit that does not say whom it is for.

Agents, people and servers may be principals of the same action, so `principal in Group::"…"` speaks of
all of them, and an attribute that only agents have would not validate. Such a permit is read as
`principal is Agent`: it could not have permitted anybody else. Such a forbid is refused: it would
silently not bind the others.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cedarpy import PolicySet, Schema, pst, validate_policies
from msgspec import structs

from gateway.core.policy.render import render
from gateway.core.policy.rule import Rule, policy_set
from gateway.core.policy.source import Problem, did_you_mean
from gateway.core.policy.syntax import conditions, conjuncts, walk

_PREFIX = re.compile(r"^for policy `[^`]*`, ")
_QUOTED = re.compile(r"`([^`]+)`")
_NO_ACTION = "unable to find an applicable action"
_STEPS = (
    ("unable to guarantee safety", "; ask for it with `has` before it"),
    ("are not compatible", "; compare values of one type"),
    (_NO_ACTION, "; no action of the scope takes such a principal and such a resource"),
    ("not found", "; `hopgate policy schema` shows what there is"),
    ("unrecognized", "; `hopgate policy schema` shows what there is"),
)
_AGENT = pst.EntityType("Agent")


def validate(
    rules: Sequence[Rule], schema: Schema, names: Mapping[str, frozenset[str]]
) -> tuple[list[Rule], list[Problem]]:
    """The rules as they are to be evaluated, and what Cedar's validator says against the others.

    ``names``: words by kind (``type``, ``attribute``, ``action``) for did-you-mean.
    """
    errors = errors_of([rule.tree for rule in rules], schema)
    valid: list[Rule] = []
    problems: list[Problem] = []
    for index, rule in enumerate(rules):
        if index not in errors:
            valid.append(rule)
            continue
        narrowed = _for_agents(rule.tree)
        fits = narrowed is not None and not errors_of([narrowed], schema)
        if narrowed is not None and fits and rule.effect == "permit":
            valid.append(rule.with_tree(narrowed))
            continue
        hint = "; it holds for agents only: say `principal is Agent`" if fits else ""
        problems.extend(_problem(rule, error, hint, names, schema) for error in _telling(errors[index]))
    return valid, problems


def errors_of(trees: Sequence[pst.Template], schema: Schema) -> dict[int, list[str]]:
    """The validator's errors by position in ``trees``: texts are joined one by one, so Cedar's numbering is ours."""
    if not trees:
        return {}
    text = "\n".join(str(PolicySet.from_pst(policy_set({tree.id: tree}))) for tree in trees)
    result = validate_policies(text, schema)
    found: dict[int, list[str]] = {}
    for error in result.errors:
        number = error.policy_id.removeprefix("policy")
        found.setdefault(int(number) if number.isdecimal() else 0, []).append(_PREFIX.sub("", error.error))
    if not result.validation_passed and not found:
        return {index: ["the validator refused the bundle without saying why"] for index in range(len(trees))}
    return found


def _for_agents(tree: pst.Template) -> pst.Template | None:
    match tree.principal:
        case pst.ScopeAny():
            return replace(tree, principal=pst.ScopeIs(_AGENT))
        case pst.ScopeIn(entity=entity):
            return replace(tree, principal=pst.ScopeIsIn(_AGENT, entity))
    return None


def _problem(rule: Rule, error: str, hint: str, names: Mapping[str, frozenset[str]], schema: Schema) -> Problem:
    words = [word.rsplit("::", 1)[-1].rsplit(".", 1)[-1].strip('"') for word in _QUOTED.findall(error)]
    word = next((word for word in words if rule.statement.has(word)), None)
    kinds = sorted((error.index(f"{kind} `"), kind) for kind in names if f"{kind} `" in error)
    near = did_you_mean(word, names[kinds[0][1]]) if word and kinds and word not in names[kinds[0][1]] else ""
    hint = hint or next((step for part, step in _STEPS if not near and part in error), "")
    line = None if word is not None else _line_of(rule, error, schema)
    found = rule.problem(f"{error}{near}{hint}", word)
    return found if line is None else structs.replace(found, line=line)


def _line_of(rule: Rule, error: str, schema: Schema) -> int | None:
    """The line of the first part of the conditions that brings the error; None where its scope alone does."""
    parts = [part for condition in conditions(rule.tree) for part in conjuncts(condition)]
    for count in range(len(parts) + 1):
        tree = replace(rule.tree, clauses=tuple(map(pst.When, parts[:count])))
        if error in errors_of([tree], schema).get(0, []):
            return rule.statement.line_most_like(_words(parts[count - 1])) if count else None
    return None


def _words(expr: pst.Expr) -> frozenset[str]:
    """The attributes and literals of an expression, as its author wrote them."""
    found: set[str] = set()
    for part in walk(expr):
        match part:
            case pst.GetAttr(attr=attr):
                found.add(attr)
            case pst.StringLit() | pst.LongLit():
                found.add(render(part))
    return frozenset(found)


def _telling(errors: Sequence[str]) -> list[str]:
    """The errors but for the one that only follows from others."""
    return [error for error in errors if not error.startswith(_NO_ACTION)] or list(errors)
