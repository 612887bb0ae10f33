"""Cedar policies and the registry, compiled into the kernel's rules, with a report clause by clause.

What the kernel permits to a class, Cedar permits to each of its registered agents; equality where the report says that
an action is complete. The exception are names of hosts, which rules mark as inexact. Pure, and equal input gives equal
bytes. Doesn't validate policies (``policy.kernel``, ``policy.bundle``), and signs and sends nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from cedarpy import Schema
from msgspec import Struct, structs

from gateway.core.kernel.actions import FOLDER, RESOURCE_OF, KernelPolicy
from gateway.core.kernel.class_rules import Compiled, Left, compiled_class
from gateway.core.kernel.formula import FALSE, TRUE
from gateway.core.kernel.ground import Ground, ground, members
from gateway.core.kernel.lint import inexact, lints
from gateway.core.kernel.places import Sets
from gateway.core.kernel.report import ClassReport, Lint, Outcome, PolicyReport, Report, Stays
from gateway.core.kernel.rules import MAX_CLASSES, SCHEMA, KernelRules
from gateway.core.kernel.translate import Clause, ground_parts
from gateway.core.model import Uid
from gateway.core.policy.entities import World
from gateway.core.policy.render import quoted
from gateway.core.registry import AgentClass, Registry

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\w+')
_CLASS_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,63}")


class Source(Struct, frozen=True, eq=False):
    """What is compiled."""

    policies: tuple[KernelPolicy, ...]
    """Of ``kernel/``, and the gateway's; those that aren't about machines are passed over."""
    digest: str
    """``sha256:<hex>`` of all of them."""
    registry: Registry
    world: World
    """The registry's entities, and the schema's actions."""
    schema: Schema


class Compilation(Struct, frozen=True):
    """The document, and what is to be said of it."""

    rules: KernelRules
    report: Report


def compile_rules(source: Source, generation: int, node: str) -> Compilation:
    """The rules of every class for the node of this name. Never fails: what can't be compiled is denied and told."""
    about = _about_machines(source)
    named = sorted(
        {kind for agent in source.registry.agents.values() for kind in agent.classes} | set(source.registry.classes)
    )
    fitting = [name for name in named if _CLASS_NAME.fullmatch(name)][:MAX_CLASSES]
    agents = members(fitting, source.world)
    parts = (part for policy in about for part in ground_parts(policy))
    answers = ground(parts, agents, source.world, source.schema)
    sets = Sets.of(source.registry.destinations)
    classes = [_class(source, name, about, answers, sets) for name in fitting]
    rules = KernelRules(SCHEMA, generation, source.digest, node, tuple(each.rules for each in classes))
    report = structs.replace(_report(about, classes, agents), refused=tuple(_refused(named, fitting)))
    return Compilation(rules, report)


def _class(source: Source, name: str, about: Sequence[KernelPolicy], answers: Ground, sets: Sets) -> Compiled:
    kind = source.registry.classes.get(name, AgentClass(name=name))
    return compiled_class(kind, about, answers, sets, source.world)


def _about_machines(source: Source) -> tuple[KernelPolicy, ...]:
    """Policies whose scope takes in an action of the machine."""
    found = [
        policy for policy in source.policies if any(policy.takes_in(action, source.world) for action in RESOURCE_OF)
    ]
    return tuple(sorted(found, key=lambda policy: (policy.id, policy.tier)))


def _report(
    about: Sequence[KernelPolicy], classes: Sequence[Compiled], agents: Mapping[str, tuple[Uid, ...]]
) -> Report:
    policies = {policy.id: policy for policy in about}
    used = [policy for policy in about if policy.tier == FOLDER or any(policy.id in each.about for each in classes)]
    return Report(
        classes=tuple(_of_class(each, tuple(agent.id for agent in agents[each.rules.name])) for each in classes),
        policies=tuple(_of_policy(policy, classes) for policy in used),
        stays=tuple(_stays(policies, classes)),
        lints=tuple(sorted({*lints(used), *_dangers(policies, classes), *_inexact(policies, classes)})),
    )


def _of_class(one: Compiled, agents: tuple[str, ...]) -> ClassReport:
    rules, automaton = one.rules, one.rules.files.automaton
    return ClassReport(
        name=rules.name,
        agents=agents,
        audit=rules.audit,
        hide=rules.hide,
        states=automaton.states,
        byte_classes=max(automaton.classes) + 1,
        anchors=len(rules.files.anchors),
        network=len(rules.network),
        binds=len(rules.binds),
        system_calls=None if rules.system_calls is None else len(rules.system_calls.allowed),
        spawn=rules.spawn,
        complete=one.complete,
        incomplete=tuple(action for action in RESOURCE_OF if any(each.action == action for each in one.left)),
    )


def _of_policy(policy: KernelPolicy, classes: Sequence[Compiled]) -> PolicyReport:
    about = tuple(each.rules.name for each in classes if policy.id in each.about)
    left = [each for one in classes for each in one.left if each.policy == policy.id]
    return PolicyReport(
        id=policy.id,
        tier=policy.tier,
        file=policy.statement.path,
        line=policy.statement.line,
        effect=policy.effect,
        outcome=_outcome(policy, about, left, classes),
        classes=about,
    )


def _outcome(policy: KernelPolicy, about: Sequence[str], left: Sequence[Left], classes: Sequence[Compiled]) -> Outcome:
    if not about:
        return "unused"
    if not left:
        return "compiled"
    if policy.effect == "forbid":
        return "widened"
    return "narrowed" if any(policy.id in each.permitting for each in classes) else "dropped"


def _stays(policies: Mapping[str, KernelPolicy], classes: Sequence[Compiled]) -> Iterator[Stays]:
    """Each clause once for each action, with the classes where it is left out."""
    found: dict[tuple[str, str, Clause, str], list[str]] = {}
    for one in classes:
        for each in one.left:
            key = (each.policy, each.action, each.clause, _effect(policies[each.policy], each))
            found.setdefault(key, []).append(one.rules.name)
    for (name, action, clause, effect), kinds in sorted(found.items()):
        statement = policies[name].statement
        line = statement.line_most_like(frozenset(_WORD.findall(clause.text)))
        yield Stays(
            policy=name,
            file=statement.path,
            line=line,
            clause=clause.text,
            reason=clause.reason,
            effect=effect,
            action=action,
            classes=tuple(dict.fromkeys(kinds)),
        )


def _effect(policy: KernelPolicy, each: Left) -> str:
    if policy.effect == "permit":
        return "permits nothing of" if each.left == FALSE else "permits less of"
    return "forbids all" if each.left == TRUE else "forbids more of"


def _dangers(policies: Mapping[str, KernelPolicy], classes: Sequence[Compiled]) -> Iterator[Lint]:
    for one in classes:
        for each in one.files.dangerous:
            statement = policies[each.policy].statement
            message = f"class {one.rules.name} may write {each.path} and {each.verb} it: it can bring its own programs"
            yield Lint(statement.path, statement.line, each.policy, message)


def _inexact(policies: Mapping[str, KernelPolicy], classes: Sequence[Compiled]) -> Iterator[Lint]:
    for one in classes:
        for rule in (*one.rules.network, *one.rules.binds):
            if rule.inexact and rule.host is not None:
                yield inexact(policies[one.rules.policies[rule.policy]], rule.host)


def _refused(named: Sequence[str], fitting: Sequence[str]) -> Iterator[str]:
    for name in named:
        if _CLASS_NAME.fullmatch(name) is None:
            yield f"class {quoted(name)}: its name has to be 1 to 63 of A-Z a-z 0-9 . _ : / -"
        elif name not in fitting:
            yield f"class {name}: a node takes at most {MAX_CLASSES} classes"
