"""A bundle of Cedar policies, compiled for one registry: it loads whole or not at all (POLICY 2.2).

Whether a call is permitted is decided in ``decide``; this module only says which policies there are and
prepares what every decision shares. Staged policies are prepared beside the enforced ones (``staged_rules``) and
evaluated in ``trial``.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import rfc8785
from cedarpy import Schema, pst
from msgspec import Struct, structs

from gateway.core.model import Uid, Usage
from gateway.core.policy.approval import approval_problems
from gateway.core.policy.argtypes import Arguments, arguments_of, kept, schema_with
from gateway.core.policy.entities import MOST_LINEAGES, Handles, World, actions, load, registered
from gateway.core.policy.footprint import Footprint, union
from gateway.core.policy.listing import list_tree
from gateway.core.policy.load_rules import (
    annotation_problems,
    argument_problems,
    context_problems,
    id_problems,
    members_of,
    tier_problems,
)
from gateway.core.policy.memory import Memory
from gateway.core.policy.reach import reach_warnings
from gateway.core.policy.rule import PolicyInfo, Rule, parse
from gateway.core.policy.schemas import Schemas
from gateway.core.policy.slices import Cut, own_part, part_of
from gateway.core.policy.source import PolicySource, Problem, in_order
from gateway.core.policy.staged_rules import Change, Draft, after, deletes, drafts, is_staged, mode_problems, without
from gateway.core.policy.validate import validate
from gateway.core.policy.vocabulary import vocabulary, vocabulary_problems
from gateway.core.recent import Recent
from gateway.core.registry import Registry

__all__ = ["Bundle", "PolicyInfo", "PolicySource", "Problem", "compile_bundle"]

OPEN = "(open)"
"""Not a policy of anybody's, and no legal ``@id``: beside forbids alone it lets Cedar say whether one applies."""
_OPEN_TREE = pst.Template(OPEN, "permit", pst.ScopeAny(), pst.ScopeAny(), pst.ScopeAny(), (), pst.FrozenMap())


class Cuts(Struct, frozen=True, eq=False):
    """The bundle's policies by the questions that are asked of them, each cut into slices."""

    enforced: Cut
    lifted: Cut
    """Without policies that read ``approvers``: would approval help?"""
    listed: Cut
    """The list bundle."""
    list_forbids: Cut
    """The forbids of the list bundle beside one permit of everything."""

    def over(self) -> "Cuts":
        """The same policies for calls over another registry."""
        return Cuts(self.enforced.over(), self.lifted.over(), self.listed.over(), self.list_forbids.over())


class Bundle(Struct, frozen=True, eq=False):
    """A loaded bundle. Public: ``digest``, ``policies``, ``warnings``; the rest is for this package."""

    digest: str
    """Hex SHA-256 over the schema and the policy files but for staged policies, whatever their order."""
    policies: tuple[PolicyInfo, ...]
    """By id."""
    warnings: tuple[Problem, ...]
    rules: Mapping[str, Rule]
    cuts: Cuts
    schemas: Schemas
    arguments: Arguments
    world: World
    """The registry's entities, and the schema's actions."""
    handles: Handles
    reads: Footprint
    registry: Registry
    digest_key: bytes | None
    memory: Memory
    """Answers that Cedar gave already."""
    trials: "tuple[Trial, ...]" = ()
    """One for each staged policy, by id; the last one, where there are several, holds all together."""
    reads_usage: bool = False
    """Whether a policy, staged ones included, reads what was used lately: then records keep it."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """The staged policies, by id."""
        return tuple(trial.drafts[0].change for trial in self.trials if len(trial.drafts) == 1)

    def remembering(self, memory: Memory) -> "Bundle":
        """The same bundle with the answers that were given before it: keys are digests, so none is wrong here.

        Staged policies begin anew, in a memory of their own of the same size: trying them pushes out no answer of
        the enforced ones.
        """
        apart = Memory(memory.kept)
        trials = (Trial(each.drafts, structs.replace(each.bundle, memory=apart)) for each in self.trials)
        return structs.replace(self, memory=memory, trials=tuple(trials))

    def asked_as(self, trees: Mapping[str, pst.Template]) -> "Bundle":
        """The bundle with other trees for its policies of the same ids, and without those that aren't among them.

        Only what asks about a call itself differs: which things are listed, and what derives from them, stays.
        """
        same = {part.name: part for part in self.cuts.enforced.parts}
        parts = [
            same[name] if tree is self.rules[name].tree else part_of(self.rules[name], tree)
            for name, tree in sorted(trees.items())
        ]
        lifted = [part for part in parts if not part.reads[0].reads_context("approvers")]
        cuts = structs.replace(
            self.cuts, enforced=self.cuts.enforced.other(parts), lifted=self.cuts.lifted.other(lifted)
        )
        return structs.replace(self, cuts=cuts)

    def over(self, registry: Registry, world: World) -> "Bundle":
        """The bundle over another registry than the one that it was checked against."""
        return structs.replace(self, registry=registry, world=world, cuts=self.cuts.over())

    def compiled_for(self, registry: Registry) -> bool:
        """Whether this is the registry that the bundle was checked against."""
        return registry is self.registry or registry == self.registry

    def __repr__(self) -> str:
        return f"Bundle(digest={self.digest!r}, policies={len(self.policies)})"


class Trial(Struct, frozen=True, eq=False):
    """The policies as they would be with one staged policy enforced, or with all of them."""

    drafts: tuple[Draft, ...]
    bundle: Bundle
    """Without trials of its own."""


def compile_bundle(
    sources: Sequence[PolicySource], schema: str, registry: Registry, digest_key: bytes | None = None
) -> Bundle | tuple[Problem, ...]:
    """The bundle of all policy files, or every problem that keeps it from loading.

    ``schema`` is the text of ``schemas/gateway.cedarschema``. ``digest_key`` keys the digests that stand in
    records for values of sensitive arguments; without one such values are left out. The bundle decides
    for this ``registry`` only: argument types, words and team scopes were checked against it.
    """
    arguments = arguments_of(registry)
    try:
        full_schema = Schema.from_str(schema_with(schema, arguments))
    except ValueError as error:
        return (Problem("schemas/gateway.cedarschema", 0, None, f"not a valid schema: {error}"),)
    parsed = [parse(source) for source in _unique(sources)]
    problems = [item for file in parsed for item in file if isinstance(item, Problem)]
    rules = sorted((item for file in parsed for item in file if isinstance(item, Rule)), key=_order)
    world = World({**registered(registry), **actions(full_schema)})
    found = list(_problems(rules, registry, world, arguments))
    rules, invalid = validate(rules, full_schema, _names(world, arguments))
    staged = [rule for rule in rules if is_staged(rule)]
    rules = [rule for rule in rules if not is_staged(rule)]
    problems += [*invalid, *(problem for problem in found if problem.severity == "error")]
    if problems:
        return in_order(problems)
    found += reach_warnings(rules, full_schema, world)
    warnings = in_order([problem for problem in found if problem.severity == "warning"])
    digest = _digest(_unique(sources), schema, rules, staged)
    bundle = _assemble(digest, rules, warnings, schema, registry, digest_key)
    if not isinstance(bundle, Bundle):
        return bundle
    reads_usage = any(rule.footprint.reads_context("usage") for rule in (*rules, *staged))
    return structs.replace(bundle, trials=_trials(bundle, rules, staged, schema), reads_usage=reads_usage)


def _assemble(
    digest: str,
    rules: Sequence[Rule],
    warnings: tuple[Problem, ...],
    schema: str,
    registry: Registry,
    digest_key: bytes | None,
) -> Bundle | tuple[Problem, ...]:
    reads = union(rule.footprint for rule in rules)
    arguments = kept(arguments_of(registry), reads.arguments)
    schemas = Schemas(schema, arguments)
    entities = {**registered(registry), **actions(schemas.bare.handle)}
    lineages = Recent[Uid, frozenset[Uid]](MOST_LINEAGES)
    world = World(entities, {uid: entity.text() for uid, entity in entities.items()}, lineages=lineages)
    try:
        load(world, entities, schemas.bare.handle)
    except ValueError as error:
        return (Problem("registry", 0, None, f"the registry does not fit the schema: {error}"),)
    return Bundle(
        digest=digest,
        policies=tuple(PolicyInfo.of(rule) for rule in rules),
        warnings=warnings,
        rules={rule.id: rule for rule in rules},
        cuts=_cuts(rules, world, _salt(schema, digest_key)),
        schemas=schemas,
        arguments=arguments,
        world=world,
        handles=Handles(schemas.bare.handle),
        reads=reads,
        registry=registry,
        digest_key=digest_key,
        memory=Memory(),
    )


def _digest(sources: Sequence[PolicySource], schema: str, rules: Sequence[Rule], staged: Sequence[Rule]) -> str:
    enforced = Counter(rule.statement.path for rule in rules)
    kept = [file for source in sources if (file := without(source, staged, enforced)) is not None]
    files = [[source.path, source.text] for source in kept]
    return hashlib.sha256(rfc8785.dumps([schema, files])).hexdigest()


def _trials(bundle: Bundle, rules: Sequence[Rule], staged: Sequence[Rule], schema: str) -> tuple[Trial, ...]:
    """Each draft alone, then all together where there are several; they share a memory, but not the bundle's."""
    found = drafts(rules, staged)
    groups = [(draft,) for draft in found]
    apart = structs.replace(bundle, memory=Memory())
    return tuple(
        Trial(group, _varied(apart, after(rules, group), schema))
        for group in (*groups, *((found,) if len(found) > 1 else ()))
    )


def _varied(bundle: Bundle, rules: Sequence[Rule], schema: str) -> Bundle:
    """The bundle with other policies, over the same registry."""
    reads = union(rule.footprint for rule in rules)
    arguments = kept(arguments_of(bundle.registry), reads.arguments)
    return structs.replace(
        bundle,
        policies=tuple(PolicyInfo.of(rule) for rule in rules),
        rules={rule.id: rule for rule in rules},
        cuts=_cuts(rules, bundle.world, _salt(schema, bundle.digest_key)),
        schemas=bundle.schemas if arguments == bundle.arguments else Schemas(schema, arguments),
        arguments=arguments,
        reads=reads,
    )


def _salt(schema: str, digest_key: bytes | None) -> bytes:
    return hashlib.sha256(schema.encode()).digest() + hashlib.sha256(digest_key or b"").digest()


def _cuts(rules: Sequence[Rule], world: World, salt: bytes) -> Cuts:
    enforced = [part_of(rule, rule.tree) for rule in rules]
    listed = [part_of(rule, tree) for rule in rules if (tree := list_tree(rule.tree)) is not None]
    lifted = [part for part in enforced if not any(reads.reads_context("approvers") for reads in part.reads)]
    forbids = [part for part in listed if part.tree.effect == "forbid"]
    return Cuts(
        enforced=Cut("enforced", enforced, world, salt),
        lifted=Cut("lifted", lifted, world, salt),
        listed=Cut("listed", listed, world, salt),
        list_forbids=Cut("list_forbids", [*forbids, own_part(_OPEN_TREE)], world, salt),
    )


def _problems(rules: Sequence[Rule], registry: Registry, world: World, arguments: Arguments) -> Iterable[Problem]:
    known = vocabulary(registry, world)
    members = members_of(world)
    enforced = [rule for rule in rules if not is_staged(rule)]
    staged = [rule for rule in rules if is_staged(rule)]
    yield from id_problems(enforced)
    yield from id_problems(staged)
    yield from mode_problems(enforced, staged)
    for rule in rules:
        yield from annotation_problems(rule)
        if deletes(rule):
            continue
        yield from tier_problems(rule, registry, world, members)
        yield from context_problems(rule)
        yield from argument_problems(rule, arguments)
        yield from approval_problems(rule, known.groups)
        yield from vocabulary_problems(rule, known)


def _unique(sources: Sequence[PolicySource]) -> list[PolicySource]:
    """The sources by path; the same file twice is one, or Cedar would see every policy twice."""
    return sorted(dict.fromkeys(sources), key=lambda source: (source.path, source.text))


def _order(rule: Rule) -> tuple[str, str, int]:
    return rule.id, rule.statement.path, rule.statement.line


def _names(world: World, arguments: Arguments) -> dict[str, frozenset[str]]:
    """Words for did-you-mean in the validator's messages, by the kind they name."""
    attributes = {attr for entity in world.registered.values() for attr in entity.attrs}
    context = {"delegation_depth", "chain", "chain_max_risk", "reentry", "live_ancestry", "scopes", "protocol", "now"}
    context |= {"user", "purpose", "usage", *Usage.__struct_fields__}
    names = {name for tools in arguments.values() for record in tools.values() for name in record.fields}
    return {
        "entity type": frozenset(uid.type for uid in world.registered),
        "action": frozenset(uid.id for uid in world.registered if uid.type == "Action"),
        "attribute": frozenset(attributes | context | names | set(arguments)),
    }
