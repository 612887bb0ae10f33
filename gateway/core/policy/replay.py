"""What given policies would have decided of a recorded call: exactly, or that it can't be told, and why.

Asks ``decide``, the function that serves traffic, over the facts that were kept. Where arguments weren't kept, a
policy that read them and stands unchanged is known by what was decided; of any other both ends are tried, the one that
lets the call through and the one that doesn't, and where they differ the call is not decidable. Nothing is guessed.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

import msgspec
from cedarpy import pst
from msgspec import Struct, structs

from gateway.core.audit import DecisionRecord
from gateway.core.model import Ask, Decision, Deny, Hop, Permit, Uid
from gateway.core.policy.approval import LIFTED
from gateway.core.policy.argtypes import Record, Scalar, SetOf
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.decide import decide
from gateway.core.policy.entities import World, registered
from gateway.core.policy.explain import near_misses
from gateway.core.policy.footprint import reads_usage
from gateway.core.policy.keeping import Kept, literals, types_of
from gateway.core.policy.listing import assumed, may_overflow
from gateway.core.policy.remembered import Then, hop_of, then
from gateway.core.policy.rule import Rule
from gateway.core.policy.staged_rules import revision
from gateway.core.policy.trial import OF_POLICY
from gateway.core.reasons import Reason
from gateway.core.recent import Recent
from gateway.core.registry import Registry

_WORLDS = 4_096
_PLACEHOLDERS: Mapping[str, Any] = {"String": "", "Long": 0, "Bool": False}


class Answer(Struct, frozen=True):
    """What the policies would have decided."""

    verdict: Literal["permit", "ask", "deny"]
    reason: Reason
    policies: tuple[str, ...]
    groups: tuple[str, ...] = ()


class Undecidable(Struct, frozen=True):
    """Why it can't be told: ``reads context.args.ledger.pay.amount, which was not kept``."""

    why: str


class Besides(Struct, frozen=True):
    """The call was refused for a reason that no policy could have changed."""


class _Both(Struct, frozen=True):
    """The policies at either end of what isn't known, and the arguments to ask them with."""

    best: Bundle
    worst: Bundle
    arguments: dict[str, Any]
    certain: bool
    """Whether the arguments are known to fit, and no policy to err on them."""


class Replay:
    """Some policies over the records of a log. ``pieces`` are the facts that the log kept, by digest."""

    def __init__(self, bundle: Bundle, pieces: Mapping[str, Kept]) -> None:
        self._bundle = bundle
        self._pieces = pieces
        self._actions = {uid: entity for uid, entity in bundle.world.registered.items() if uid.type == "Action"}
        self._revisions = {rule.id: revision(rule.statement.text) for rule in bundle.rules.values()}
        self._then = Recent[tuple[str, ...], tuple[Then, Bundle]](_WORLDS)

    def answer(self, record: DecisionRecord) -> Answer | Undecidable | Besides:
        """What the policies would have decided in place of ``record``'s."""
        if record.reason not in OF_POLICY and record.reason not in (Reason.PERMITTED, Reason.APPROVAL_REQUIRED):
            return Besides()
        if not record.facts or any(digest not in self._pieces for digest in record.facts):
            return Undecidable("what it was decided from was not kept")
        facts, bundle = self._at(record.facts)
        hop = self._hop(record, facts, bundle)
        if isinstance(hop, Undecidable):
            return hop
        if record.usage is None and bundle.reads.reads_context("usage"):
            return self._whatever_usage(record, hop, facts, bundle)
        return self._decided(record, hop, facts, bundle)

    def near_misses(self, record: DecisionRecord) -> tuple[str, ...] | Undecidable:
        """The permits that came nearest to ``record``, as ``explain`` tells them, if these policies decided it."""
        if not record.facts or any(digest not in self._pieces for digest in record.facts):
            return Undecidable("what it was decided from was not kept")
        facts, bundle = self._at(record.facts)
        if facts.policies != self._revisions:
            return Undecidable("it was decided by other policies")
        hop = self._hop(record, facts, bundle)
        if isinstance(hop, Undecidable):
            return hop
        if record.usage is None and bundle.reads.reads_context("usage"):
            return Undecidable("reads context.usage, which was not kept")
        types = _read_arguments(record, bundle)
        if types is not None:
            sent = _sent(record)
            if sent is None or set(types.fields) & _sensitive(record, facts.registry) & set(sent):
                return Undecidable(_why(record, bundle))
            if not self._same_types(record, facts):
                return Undecidable("the tool's arguments had other types")
            hop = _with(hop, sent)
        return near_misses(hop, bundle, facts.registry)

    def _hop(self, record: DecisionRecord, facts: Then, bundle: Bundle) -> Hop | Undecidable:
        """The hop without its arguments, or what of it wasn't kept."""
        hop = hop_of(record, facts)
        if isinstance(hop, str):
            return Undecidable(hop)
        for uid in literals(bundle):
            if uid not in bundle.world.registered and uid in self._bundle.world.registered:
                return Undecidable(f"reads {uid}, which was not kept")
        return hop

    def _whatever_usage(
        self, record: DecisionRecord, hop: Hop, facts: Then, bundle: Bundle
    ) -> Answer | Undecidable | Besides:
        """The answer where it is the same whatever was used lately."""
        reading = [rule for rule in bundle.rules.values() if rule.footprint.reads_context("usage")]
        why = Undecidable(f"reads context.usage ({', '.join(rule.id for rule in reading)}), which was not kept")
        ends = [
            self._decided(record, hop, facts, _as_if_used(bundle, reading, through=through))
            for through in (True, False)
        ]
        best, worst = ends
        if not isinstance(best, Answer) or not isinstance(worst, Answer):
            return next(end for end in ends if not isinstance(end, Answer))
        if any(may_overflow(rule.tree) for rule in reading) and best.verdict != "deny":
            return why
        return best if _ends_alike(best, worst) else why

    def _at(self, digests: tuple[str, ...]) -> tuple[Then, Bundle]:
        known = self._then.get(digests)
        if known is None:
            facts = then(self._pieces[digest] for digest in digests)
            known = facts, over(self._bundle, facts.registry, self._actions)
            self._then.put(digests, known)
        return known

    def _decided(self, record: DecisionRecord, hop: Hop, facts: Then, bundle: Bundle) -> Answer | Undecidable:
        types = _read_arguments(record, bundle)
        if types is None:
            return _answer(decide(hop, bundle, facts.registry, record.generation))
        sent = _sent(record)
        if sent is not None and not (set(types.fields) & _sensitive(record, facts.registry) & set(sent)):
            return _answer(decide(_with(hop, sent), bundle, facts.registry, record.generation))
        same = self._same_types(record, facts)
        if same and facts.policies == self._revisions and record.reason in _BY_ARGUMENTS:
            # The same policies over the same facts and arguments, whatever those were.
            return Answer("deny", record.reason, tuple(policy.id for policy in record.policies))
        both = self._both(record, facts, bundle, types, same=same)
        best, worst = (
            _answer(decide(_with(hop, both.arguments), each, facts.registry, record.generation))
            for each in (both.best, both.worst)
        )
        if not both.certain and best.verdict != "deny":
            return Undecidable(_why(record, bundle))
        return best if _ends_alike(best, worst) else Undecidable(_why(record, bundle))

    def _same_types(self, record: DecisionRecord, facts: Then) -> bool:
        server, _, name = record.resource.id.partition("/")
        tool = self._bundle.registry.tool(server, name)
        return tool is not None and facts.types.get(record.resource.id) == types_of(tool)

    def _both(self, record: DecisionRecord, facts: Then, bundle: Bundle, types: Record, *, same: bool) -> _Both:
        best: dict[str, pst.Template] = {}
        worst: dict[str, pst.Template] = {}
        unknown: list[Rule] = []
        changed = False
        given = _matched(record)
        for rule in bundle.rules.values():
            unchanged = same and facts.policies.get(rule.id) == self._revisions[rule.id]
            reads = _paths(rule, record.resource)
            changed = changed or (bool(reads) and not unchanged)
            held = _held(rule, record) if unchanged and reads else None
            if not reads or all(path in given for path in reads):
                best[rule.id] = worst[rule.id] = rule.tree
            elif held is None:
                unknown.append(rule)
                lets_through = rule.effect == "permit"
                best[rule.id] = assumed(rule.tree, lets_through)
                worst[rule.id] = assumed(rule.tree, not lets_through)
            elif held:
                best[rule.id] = worst[rule.id] = _always(rule)
        permits = [rule for rule in unknown if rule.effect == "permit"]
        if record.verdict == "ask" and permits and facts.policies.items() <= self._revisions.items():
            # Approval would have helped, so one of the permits applied, and all are still there.
            worst[permits[0].id] = _always(permits[0])
        errs = any(may_overflow(rule.tree) for rule in unknown)
        return _Both(
            best=bundle.asked_as(best),
            worst=bundle.asked_as(worst),
            arguments=_filled(types, given),
            certain=not changed and not errs and record.reason not in _BY_ARGUMENTS,
        )


_BY_ARGUMENTS = (Reason.ARGUMENTS_INVALID, Reason.POLICY_ERROR)


def over(bundle: Bundle, registry: Registry, actions: Mapping[Uid, Any]) -> Bundle:
    """The bundle over another registry than the one that it was checked against."""
    entities = {**registered(registry), **actions}
    world = World(entities, {uid: entity.text() for uid, entity in entities.items()})
    return bundle.over(registry, world)


def _as_if_used(bundle: Bundle, reading: Iterable[Rule], *, through: bool) -> Bundle:
    """The bundle with its policies that read what was used lately as they let a call through, or as they don't."""
    rules = dict(bundle.rules)
    for rule in reading:
        tree = assumed(rule.tree, (rule.effect == "permit") is through, reads_usage)
        rules[rule.id] = structs.replace(rule, tree=tree)
    asked = bundle.asked_as({name: rule.tree for name, rule in rules.items()})
    return structs.replace(asked, rules=rules)


def _always(rule: Rule) -> pst.Template:
    """The policy as one that applied."""
    clauses = () if rule.approval is None else (LIFTED,)
    anything = pst.ScopeAny()
    return replace(rule.tree, principal=anything, action=anything, resource=anything, clauses=clauses)


def _held(rule: Rule, record: DecisionRecord) -> bool | None:
    """Whether a policy that stands unchanged applied to the recorded call; None where its verdict doesn't tell."""
    if record.also or record.reason in _BY_ARGUMENTS:
        return None
    if rule.effect == "forbid" or record.verdict == "permit":
        return any(policy.id == rule.id for policy in record.policies)
    lifted_in_vain = record.reason is Reason.FORBIDDEN and all(policy.approval for policy in record.policies)
    return False if record.reason is Reason.NO_PERMIT or lifted_in_vain else None


def _read_arguments(record: DecisionRecord, bundle: Bundle) -> Record | None:
    """The arguments of the called tool that the policies read, where they read any."""
    if record.action != "invokeTool" or record.resource.type != "Tool":
        return None
    server, _, tool = record.resource.id.partition("/")
    types = bundle.arguments.get(server, {}).get(tool)
    return types if types is not None and types.fields else None


def _sent(record: DecisionRecord) -> dict[str, Any] | None:
    """The arguments where they are known, sensitive ones as digests; None where the route didn't record them."""
    if record.arguments_digest is None:
        return {}
    found = json.loads(bytes(record.arguments))
    return found if isinstance(found, dict) else None


def _sensitive(record: DecisionRecord, registry: Registry) -> frozenset[str]:
    server, _, name = record.resource.id.partition("/")
    tool = registry.tool(server, name)
    return frozenset(() if tool is None else tool.sensitive)


def _paths(rule: Rule, resource: Uid) -> frozenset[tuple[str, ...]]:
    """What the policy reads of the tool's arguments: ``(server, tool, name, …)``; shorter where it reads them whole."""
    server, _, tool = resource.id.partition("/")
    here = (server, tool)
    return frozenset(
        read.path
        for read in rule.footprint.arguments
        if read.path[:2] == here[: len(read.path)] and (read.whole or read.path[2:])
    )


def _matched(record: DecisionRecord) -> dict[tuple[str, ...], Any]:
    """Argument values that determining policies read, by path; not those that only stand as digests."""
    found: dict[tuple[str, ...], Any] = {}
    for policy in record.policies:
        for match in policy.matched:
            path = tuple(match.path.split("."))
            value = msgspec.json.decode(match.value)
            if path[:2] == ("context", "args") and all(map(str.isidentifier, path)) and not isinstance(value, dict):
                found[path[2:]] = tuple(value) if isinstance(value, list) else value
    return found


def _filled(types: Record, given: Mapping[tuple[str, ...], Any], at: tuple[str, ...] = ()) -> dict[str, Any]:
    """Arguments that fit: those given, and for what else must be there something that no policy reads."""
    here = {path[2:]: value for path, value in given.items()} if not at else given
    filled: dict[str, Any] = {}
    for name, field in types.fields.items():
        path = (*at, name)
        below = any(known[: len(path)] == path for known in here)
        match field.type:
            case Record() as record if field.required or below:
                filled[name] = _filled(record, here, path)
            case SetOf() | Scalar() if path in here:
                value = here[path]
                filled[name] = list(value) if isinstance(value, tuple) else value
            case SetOf() if field.required:
                filled[name] = []
            case Scalar(name=kind) if field.required:
                filled[name] = _PLACEHOLDERS[kind]
    return filled


def _with(hop: Hop, arguments: dict[str, Any]) -> Hop:
    return structs.replace(hop, call=structs.replace(hop.call, arguments=arguments))


def _why(record: DecisionRecord, bundle: Bundle) -> str:
    paths = {path for rule in bundle.rules.values() for path in _paths(rule, record.resource)} - set(_matched(record))
    names = sorted(".".join(("context.args", *path)) for path in paths)
    return f"reads {', '.join(names)}, which was not kept"


def _ends_alike(best: Answer, worst: Answer) -> bool:
    return (best.verdict, best.groups) == (worst.verdict, worst.groups)


def _answer(decision: Decision) -> Answer:
    policies = tuple(policy.id for policy in decision.policies)
    match decision:
        case Permit():
            return Answer("permit", Reason.PERMITTED, policies)
        case Ask(groups=groups):
            return Answer("ask", Reason.APPROVAL_REQUIRED, policies, groups)
        case Deny(reason=reason):
            return Answer("deny", reason, policies)


def pieces_of(documents: Iterable[tuple[str, bytes]]) -> dict[str, Kept]:
    """The kept facts by digest.

    Raises:
        ValueError: one of them isn't the text of a piece.
    """
    return {digest: msgspec.json.decode(document, type=Kept) for digest, document in documents}
