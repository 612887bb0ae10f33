"""Whether policies of ``kernel/`` can be authored as they are: read, validated, and about the agent's own machine only.

A bundle of their own: the gateway never asks them, so nothing that they say permits a call. What compiles them into
rules of the kernel is ``core.kernel``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from cedarpy import Schema, pst

from gateway.core.model import Uid
from gateway.core.policy.entities import World, actions, registered
from gateway.core.policy.footprint import footprint
from gateway.core.policy.rule import PolicyInfo, parse_one
from gateway.core.policy.source import PolicySource, Problem, Statement, did_you_mean, in_order, statements
from gateway.core.policy.syntax import uid_of
from gateway.core.policy.validate import errors_of
from gateway.core.registry import Registry

FOLDER = "kernel/"
ANNOTATIONS = frozenset({"id", "owner", "description"})
_KERNEL = Uid("Action", "kernel")


def kernel_problems(
    sources: Sequence[PolicySource], schema: str, registry: Registry, taken: Sequence[PolicyInfo] = ()
) -> tuple[Problem, ...]:
    """Every problem of those of ``sources`` that lie in ``kernel/``; ``schema`` is the gateway's own.

    ``taken`` are the gateway's policies: the kernel reports denials by id, so an id is one policy's over both.
    """
    files = [source for source in sources if source.path.startswith(FOLDER)]
    if not files:
        return ()
    parsed_schema = Schema.from_str(schema)
    world = World({**registered(registry), **actions(parsed_schema)})
    found: list[Problem] = []
    ids: dict[str, Statement] = {}
    others = {str(policy.id): f"{policy.file}:{policy.line}" for policy in taken}
    for source in sorted(files, key=lambda each: each.path):
        parts = statements(source)
        found += [parts] if isinstance(parts, Problem) else []
        for statement in () if isinstance(parts, Problem) else parts:
            tree = parse_one(statement)
            if isinstance(tree, Problem):
                found.append(tree)
                continue
            found += _problems(statement, tree, parsed_schema, world, ids)
            found += _taken(statement, tree, others)
    return in_order(found)


def _problems(
    statement: Statement, tree: pst.Template, schema: Schema, world: World, ids: dict[str, Statement]
) -> Iterator[Problem]:
    name = tree.annotations.get("id")

    def problem(message: str, word: str | None = None) -> Problem:
        line = statement.line if word is None else statement.line_of(word)
        return Problem(statement.path, line, name, message)

    if name is None:
        yield problem("the policy has no @id; reports of the compiler name it by that")
    elif ids.setdefault(name, statement) is not statement:
        yield problem(f"the id is taken by the policy at {ids[name].path}:{ids[name].line}; choose another @id", "id")
    for annotation in tree.annotations:
        if annotation not in ANNOTATIONS:
            near = did_you_mean(annotation, ANNOTATIONS)
            yield problem(f"unknown annotation @{annotation}{near}", annotation)
    if not _of_kernel(tree, world):
        yield problem(
            'a policy in kernel/ is about actions of the machine only; name them, or say `action in Action::"kernel"`',
            "action",
        )
    for error in errors_of([replace(tree, id="policy")], schema).get(0, []):
        yield problem(error)
    yield from _unknown(statement, tree, world, name)


def _taken(statement: Statement, tree: pst.Template, others: Mapping[str, str]) -> Iterator[Problem]:
    name = tree.annotations.get("id")
    if name is not None and name in others:
        message = f"the id is taken by the policy at {others[name]}; choose another @id"
        yield Problem(statement.path, statement.line_of("id"), name, message)


def _of_kernel(tree: pst.Template, world: World) -> bool:
    match tree.action:
        case pst.ActionEq(entity=entity):
            named = [uid_of(entity)]
        case pst.ActionIn(entities=entities):
            named = [uid_of(entity) for entity in entities]
        case _:
            return False
    known = [uid for uid in named if uid in world.registered]
    return all(_KERNEL in world.ancestors(uid) for uid in known)


def _unknown(statement: Statement, tree: pst.Template, world: World, name: str | None) -> Iterator[Problem]:
    """A forbid on a class that nobody is in binds nobody; a permit to it gives nothing away, so that is a warning."""
    for uid in sorted(footprint(tree).literals):
        if uid.type not in {"Agent", "AgentClass", "Group", "Team", "DestinationSet"} or uid in world.registered:
            continue
        near = did_you_mean(uid.id, {each.id for each in world.registered if each.type == uid.type})
        message = f"{uid} is not in the registry: nothing has this name{near}"
        line = statement.line_of(uid.id)
        yield Problem(statement.path, line, name, message, "error" if tree.effect == "forbid" else "warning")
