"""One policy of a bundle, as loaded: its tree, its text, its place and its annotations."""

from collections.abc import Mapping
from dataclasses import replace

from cedarpy import policies_to_pst, pst
from msgspec import Struct

from gateway.core.model import Effect, PolicyId, Tier
from gateway.core.policy.footprint import Footprint, footprint
from gateway.core.policy.source import Place, PolicySource, Problem, Statement, place_of, statements
from gateway.core.policy.syntax_errors import syntax_problem

IGNORED_FOLDERS = frozenset({"kernel", "admin"})
"""Bundles of their own."""


class Rule(Struct, frozen=True, eq=False):
    """A parsed policy. ``tree.id`` is its ``@id``, so Cedar answers with the ids that authors wrote."""

    id: PolicyId
    place: Place
    statement: Statement
    tree: pst.Template
    footprint: Footprint
    named: bool
    """Whether the author gave it an ``@id``."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """Annotation values by name."""
        return self.tree.annotations

    @property
    def effect(self) -> Effect:
        """``permit`` or ``forbid``."""
        return self.tree.effect

    @property
    def approval(self) -> str | None:
        """The group whose people may lift this forbid."""
        return self.annotations.get("approval")

    def problem(self, message: str, word: str | None = None) -> Problem:
        """An error of this policy, at the line of ``word`` or else of the policy."""
        line = self.statement.line if word is None else self.statement.line_of(word)
        return Problem(self.statement.path, line, self.id, message)

    def warning(self, message: str) -> Problem:
        """Something to mend that does not keep the bundle from loading."""
        return Problem(self.statement.path, self.statement.line, self.id, message, "warning")

    def with_tree(self, tree: pst.Template) -> "Rule":
        """The same policy read more narrowly; what it reads stays as its author wrote it."""
        return Rule(self.id, self.place, self.statement, tree, self.footprint, self.named)


class PolicyInfo(Struct, frozen=True):
    """What people are told of a loaded policy."""

    id: PolicyId
    tier: Tier
    file: str
    line: int
    effect: Effect
    approval: str | None
    owner: str | None
    description: str | None
    text: str

    @classmethod
    def of(cls, rule: Rule) -> "PolicyInfo":
        """The public face of ``rule``."""
        return cls(
            id=rule.id,
            tier=rule.place.tier,
            file=rule.statement.path,
            line=rule.statement.line,
            effect=rule.effect,
            approval=rule.approval,
            owner=rule.annotations.get("owner"),
            description=rule.annotations.get("description"),
            text=rule.statement.text,
        )


def policy_set(trees: Mapping[str, pst.Template]) -> pst.PolicySet:
    """Static policies under their own ids, ready for ``PolicySet.from_pst``."""
    return pst.PolicySet(pst.FrozenMap(), pst.FrozenMap(trees), ())


def parse(source: PolicySource) -> tuple[Rule, ...] | tuple[Problem, ...]:
    """The policies of one file, or everything that keeps it from being read."""
    place = place_of(source.path)
    if place is None:
        if source.path.split("/")[0] in IGNORED_FOLDERS:
            return ()
        folders = "guardrails/, platform/, teams/<team>/ or baseline/"
        return (Problem(source.path, 0, None, f"the path names no tier; move the file to {folders}"),)
    found = statements(source)
    if isinstance(found, Problem):
        return (found,)
    rules: list[Rule] = []
    problems: list[Problem] = []
    for index, statement in enumerate(found):
        parsed = parse_one(statement)
        if isinstance(parsed, Problem):
            problems.append(parsed)
            continue
        named = parsed.annotations.get("id")
        name = PolicyId(named if named is not None else f"{source.path.removesuffix('.cedar')}#{index}")
        tree = replace(parsed, id=name)
        rules.append(Rule(name, place, statement, tree, footprint(tree), named is not None))
    return tuple(problems) or tuple(rules)


def parse_one(statement: Statement) -> pst.Template | Problem:
    """The policy of one statement under Cedar's own name, or why it is none."""
    try:
        parsed = policies_to_pst(statement.text)
    except ValueError as error:
        return syntax_problem(statement, str(error))
    if parsed.templates:
        message = "policy templates (`?principal`, `?resource`) are not supported; write the entity"
        return Problem(statement.path, statement.line, None, message)
    if len(parsed.static_policies) != 1:
        message = "this does not read as one policy; look for a stray semicolon or an unfinished string"
        return Problem(statement.path, statement.line, None, message)
    return next(iter(parsed.static_policies.values()))
