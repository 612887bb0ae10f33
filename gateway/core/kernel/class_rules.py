"""The rules of one class, and for each of its policies and actions what doesn't reach the kernel."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from gateway.core.kernel.actions import NETWORK, RESOURCE_OF, KernelPolicy, is_gateways
from gateway.core.kernel.files import FILE_ACTIONS, FileRules, file_rules
from gateway.core.kernel.formula import FALSE, TRUE, Formula, Host, Within, literals
from gateway.core.kernel.ground import Ground
from gateway.core.kernel.network import NetworkRules, network_rules
from gateway.core.kernel.places import Place, Sets, not_named
from gateway.core.kernel.rules import Anchor, ClassRules, Files, NetworkRule, SystemCalls
from gateway.core.kernel.spoken import Spoken
from gateway.core.kernel.system_calls import ACTION as SYSTEM_CALL
from gateway.core.kernel.system_calls import permitted
from gateway.core.kernel.translate import Clause, translated
from gateway.core.policy.entities import World
from gateway.core.policy.render import quoted
from gateway.core.registry import AgentClass

_WHOLE = "(the whole policy)"


class Left(Struct, frozen=True):
    """A clause that doesn't reach the kernel for one action of the class."""

    policy: str
    action: str
    clause: Clause
    left: Formula
    """What the policy says without it."""


class Compiled(Struct, frozen=True):
    """One class, compiled."""

    rules: ClassRules
    files: FileRules
    about: frozenset[str]
    """Ids of the policies that could decide something for the class."""
    permitting: frozenset[str]
    """Ids of permits of which something is left."""
    left: tuple[Left, ...]

    @property
    def complete(self) -> tuple[str, ...]:
        """Actions that are permitted exactly where Cedar permits them."""
        open_ = {each.action for each in self.left} | ({SYSTEM_CALL} if self.rules.system_calls is None else set())
        return tuple(action for action in RESOURCE_OF if action not in open_)


def compiled_class(
    kind: AgentClass, policies: Sequence[KernelPolicy], ground: Ground, sets: Sets, world: World
) -> Compiled:
    """The rules of the class ``kind``."""
    said, left = _said(kind.name, policies, ground, world)
    files, too_large = file_rules([each for each in said if each.action in FILE_ACTIONS])
    left += _left_out(said, too_large, FILE_ACTIONS, "its paths take more states or anchors than an automaton may have")
    left += _spawning(said, files)
    made: dict[str, NetworkRules] = {}
    for action in NETWORK:
        made[action], too_many = network_rules(said, action, sets)
        left += _left_out(said, too_many, (action,), "its hosts and ports take more rules than a class may have")
        left += _lost(action, made[action], said)
        left += _not_named(action, said, sets)
    filtered = any(each.action == SYSTEM_CALL for each in said)
    ids = _referred(files, made)
    numbers = {name: number for number, name in enumerate(ids)}
    rules = ClassRules(
        name=kind.name,
        audit=kind.audit,
        hide=kind.hide,
        files=Files(
            files.automaton,
            tuple(Anchor(each.path, each.prefix, each.mask, numbers[each.policy]) for each in files.anchors),
        ),
        network=_written(made["connectNetwork"], numbers),
        binds=_written(made["bindNetwork"], numbers),
        system_calls=SystemCalls(permitted(said)) if filtered else None,
        spawn=files.spawn.allowed,
        policies=ids,
    )
    about = frozenset(each.policy for each in said) | {each.policy for each in left}
    dropped = {each.policy for each in left if each.clause.text == _WHOLE}
    permitting = frozenset(each.policy for each in said if each.effect == "permit" and each.formula != FALSE)
    return Compiled(rules, files, about, permitting - dropped, tuple(left))


def _said(kind: str, policies: Sequence[KernelPolicy], ground: Ground, world: World) -> tuple[list[Spoken], list[Left]]:
    said: list[Spoken] = []
    left: list[Left] = []
    for policy in policies:
        for action in RESOURCE_OF:
            if not policy.takes_in(action, world):
                continue
            part = translated(policy, kind, action, ground)
            if part.exact and part.formula == FALSE:
                continue
            if policy.effect == "permit" and is_gateways(policy.tier) and not policy.names(action):
                reason = 'a permit outside kernel/ counts only if it names the action, or Action::"kernel"'
                left.append(Left(policy.id, action, Clause("action", reason), FALSE))
                continue
            said.append(Spoken(policy.id, policy.effect, action, part.formula))
            left += [Left(policy.id, action, clause, part.formula) for clause in part.clauses]
    return said, left


def _left_out(said: Sequence[Spoken], out: frozenset[str], actions: Sequence[str], reason: str) -> Iterator[Left]:
    for each in said:
        if each.policy in out and each.action in actions:
            yield Left(each.policy, each.action, Clause(_WHOLE, reason), each.left_out().formula)


def _spawning(said: Sequence[Spoken], files: FileRules) -> Iterator[Left]:
    """A process is made before it runs anything, so there is one answer for all paths: permitted where all are."""
    for each in said if not files.everywhere else ():
        if each.action == "spawnProcess" and any(literals(each.formula)):
            reason = "a process is made before it runs a file; permit it for all, and say with execFile which may run"
            yield Left(
                each.policy, each.action, Clause("resource.path", reason), FALSE if each.effect == "permit" else TRUE
            )


def _not_named(action: str, said: Sequence[Spoken], sets: Sets) -> Iterator[Left]:
    reason = "any address may be the name's, so what isn't named is not permitted by this"
    for each in said:
        for literal in not_named(each, sets) if each.action == action else ():
            match literal.atom:
                case Host(host=host):
                    text = f"resource.host != {quoted(host)}"
                case Within(name=name):
                    text = f"!(resource in DestinationSet::{quoted(name)})"
                case _:
                    continue
            yield Left(each.policy, action, Clause(text, reason), each.formula)


def _lost(action: str, made: NetworkRules, said: Sequence[Spoken]) -> Iterator[Left]:
    permits = sorted({each.policy for each in said if each.action == action and each.effect == "permit"})
    for place in made.lost:
        reason = "a forbid of its host or of a wider one has to stand, and forbid wins"
        for policy in permits:
            yield Left(policy, action, Clause(_shown(place), reason), FALSE)


def _shown(place: Place) -> str:
    host = "any other host" if place.host is None else place.host.text
    port = "any other port" if place.port is None else f"port {place.port}"
    return f"{host}, {port}, {place.protocol}"


def _referred(files: FileRules, made: dict[str, NetworkRules]) -> tuple[str, ...]:
    found = {each.policy for each in files.anchors} | {rule.policy for rules in made.values() for rule in rules.rules}
    return tuple(sorted(found))


def _written(made: NetworkRules, numbers: dict[str, int]) -> tuple[NetworkRule, ...]:
    return tuple(
        NetworkRule(
            effect=rule.effect,
            host=None if rule.host is None else rule.host.text,
            port=rule.port,
            protocol=rule.protocol,
            policy=numbers[rule.policy],
            inexact=rule.host is not None and rule.host.is_name,
        )
        for rule in made.rules
    )
