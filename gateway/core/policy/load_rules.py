"""The rules that a policy must keep to be loaded, beyond Cedar's own: names, annotations, tiers, arguments."""

import re
from collections.abc import Iterator, Mapping, Sequence

from cedarpy import pst

from gateway.core.model import Uid
from gateway.core.policy.argtypes import Arguments, uncertain
from gateway.core.policy.entities import World
from gateway.core.policy.rule import Rule
from gateway.core.policy.source import Problem, did_you_mean
from gateway.core.policy.syntax import uid_of
from gateway.core.registry import Registry

ANNOTATIONS = frozenset({"id", "owner", "description", "mode", "approval"})
_ID = re.compile(r"[A-Za-z0-9_.:/#-]{1,128}")
_EFFECT_OF_TIER = {"guardrails": "forbid", "baseline": "permit"}


Members = Mapping[Uid, Sequence[Uid]]
"""Direct members by set, server, group or team."""


def members_of(world: World) -> Members:
    """Who names whom as a parent in the registry."""
    found: dict[Uid, list[Uid]] = {}
    for uid, entity in world.registered.items():
        for parent in entity.parents:
            found.setdefault(parent, []).append(uid)
    return found


def id_problems(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Ids that are taken, malformed or not given."""
    first: dict[str, Rule] = {}
    for rule in rules:
        other = first.setdefault(rule.id, rule)
        if other is not rule:
            place = f"{other.statement.path}:{other.statement.line}"
            yield rule.problem(f"the id is taken by the policy at {place}; choose another @id")
        if not rule.named:
            yield rule.warning("the policy has no @id, so its id changes when the file does; add one")
        elif not _ID.fullmatch(rule.id):
            yield rule.problem("an @id is 1 to 128 of letters, digits and `_.:/#-`", "id")


def annotation_problems(rule: Rule) -> Iterator[Problem]:
    """Annotations that nothing reads: a misspelt ``@approval`` would be an unconditional forbid."""
    for name in rule.annotations:
        if name not in ANNOTATIONS:
            yield rule.problem(f"unknown annotation @{name}{did_you_mean(name, ANNOTATIONS)}", name)


def tier_problems(rule: Rule, registry: Registry, world: World, members: Members) -> Iterator[Problem]:
    """What the policy's folder does not allow it to say (POLICY 2.6)."""
    tier, team = rule.place.tier, rule.place.team
    wanted = _EFFECT_OF_TIER.get(tier)
    if wanted is not None and rule.effect != wanted:
        yield rule.problem(f"{tier}/ holds {wanted} policies only; move it to platform/ or teams/", rule.effect)
    if team is None:
        return
    if team not in registry.teams:
        near = did_you_mean(team, registry.teams)
        yield rule.problem(f'the folder names team "{team}", which is not registered{near}')
    elif not _within_team(rule.tree.resource, Uid("Team", team), world, members):
        yield rule.problem(
            f'a policy of team "{team}" must be about its own resources: say `resource in Team::"{team}"`, '
            "or name a resource, or a set of resources, that all belong to the team",
            "resource",
        )


def argument_problems(rule: Rule, arguments: Arguments) -> Iterator[Problem]:
    """A forbid must not depend on an argument that the caller may leave out."""
    if rule.effect != "forbid":
        return
    for read in sorted(rule.footprint.arguments):
        path = uncertain(arguments, read)
        if path is not None:
            yield rule.problem(_optional(".".join(path)), path[-1])


def context_problems(rule: Rule) -> Iterator[Problem]:
    """The context is read field by field, so that it can be told what a policy depends on."""
    if any(not read.path and read.whole for read in rule.footprint.context):
        yield rule.problem("`context` is used as a whole; read the fields that matter", "context")


def _optional(path: str) -> str:
    return (
        f"a forbid reads the optional argument `{path}`, which a caller can leave out; "
        "make it required in the tool's input schema, give it a default there, or turn the rule into a permit"
    )


def _within_team(scope: pst.PrincipalOrResourceConstraint, team: Uid, world: World, members: Members) -> bool:
    """Whether the scope holds the policy to resources of the team, as the registry stands now.

    Sets don't nest, so a set or server whose direct members are the team's holds nothing else.
    """
    match scope:
        case pst.ScopeEq(entity=pst.EntityUid() as uid):
            return team in world.ancestors(uid_of(uid))
        case pst.ScopeIn(entity=pst.EntityUid() as uid) | pst.ScopeIsIn(entity=pst.EntityUid() as uid):
            within = uid_of(uid)
            inside = members.get(within, ())
            return team in world.ancestors(within) or (
                len(inside) > 0 and all(team in world.ancestors(member) for member in inside)
            )
    return False
