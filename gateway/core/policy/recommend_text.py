"""Recommended policies as Cedar: where each belongs, its scope, its conditions and its annotations.

The same conditions give the same text and the same id, whatever else is recommended. Nothing of what callers sent is in
it: only words of the registry, and roles of tokens whose calls were permitted.
"""

import hashlib
from collections.abc import Iterable, Sequence

from msgspec import Struct

from gateway.core.model import Uid
from gateway.core.policy.recommend_terms import Term
from gateway.core.policy.render import quoted

_FOR_SOMEBODY = "context has user"
_SCOPES = ("principal in Group", "principal in AgentClass", "principal in Team")
_KINDS = ("resource in ToolSet", "resource in McpServer", "resource in Team", "resource in ServerSet")
FILE = "recommended.cedar"
"""In the folder of the team whose tools alone a policy speaks of, else in ``platform/``."""


class Written(Struct, frozen=True):
    """A policy in its place."""

    id: str
    file: str
    text: str


class Named(Struct, frozen=True):
    """An agent and its tools, told by name where no attribute tells them apart."""

    agent: Uid
    tools: tuple[Uid, ...]


def written(
    terms: Sequence[Term], team: str | None, owner: str, description: str, named: Named | None = None
) -> Written:
    """The policy of a conjunction. ``team``: the one whose tools alone it speaks of."""
    terms = [term for term in terms if not _is_bounded_closer(term, terms)]
    principal, resource = "principal is Agent", "resource is Tool"
    scoped = set[Term]()
    if named is not None:
        principal = f"principal == {named.agent}"
    else:
        scoped |= set(_first(terms, _SCOPES))
        principal += "".join(f" in {term.scope}" for term in scoped)
    things = [term for term in terms if term.attribute in _KINDS]
    if team is not None:
        resource += f" in {Uid('Team', team)}"
        scoped |= {term for term in things if term.scope == str(Uid("Team", team))}
    else:
        for term in _first(things, _KINDS):
            resource += f" in {term.scope}"
            scoped.add(term)
    conditions = [] if named is None else [f"resource in [{', '.join(map(str, named.tools))}]"]
    conditions += _conditions(term for term in terms if term not in scoped)
    body = f'permit (\n  {principal},\n  action == Action::"invokeTool",\n  {resource}\n)'
    joined = " &&\n  ".join(conditions)
    body += f" when {{\n  {joined}\n}};\n" if conditions else ";\n"
    folder = "platform" if team is None else f"teams/{team}"
    digest = hashlib.sha256("\n".join((folder, body)).encode()).hexdigest()
    name = f"recommended:{digest[:12]}"
    notes = (f"@id({quoted(name)})", f"@owner({quoted(owner)})", f"@description({quoted(description)})")
    return Written(name, f"{folder}/{FILE}", "\n".join((*notes, '@mode("staged")', body)))


def _conditions(terms: Iterable[Term]) -> list[str]:
    """The conditions, those on the user last and below the one that there is a user."""
    found, people = [], []
    for term in sorted(terms):
        first, _, rest = term.text.partition(" && ")
        if first == _FOR_SOMEBODY:
            people.append(rest)
        else:
            found.append(term.text)
    return [*found, *([_FOR_SOMEBODY] if people else ()), *filter(None, people)]


def _first(terms: Iterable[Term], attributes: Sequence[str]) -> list[Term]:
    """The one that the scope says: policies are found by it."""
    fitting = sorted((attributes.index(term.attribute), term) for term in terms if term.attribute in attributes)
    return [term for _, term in fitting[:1]]


def _is_bounded_closer(term: Term, terms: Sequence[Term]) -> bool:
    """Whether another bound on the same risk says more."""
    bound = f"{term.attribute} <= "
    if not term.text.startswith(bound):
        return False
    return any(other.text.startswith(bound) and other.text < term.text for other in terms)
