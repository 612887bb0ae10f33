"""What staged policies would have said of a hop that was decided without them (POLICY 2.7). Never changes the decision.

Each draft is tried alone and all together, on the hop's own snapshot, by the function that decides. A draft that can't
concern the call isn't tried: it could neither match it nor change what the call's entities and arguments must be.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from cedarpy import pst
from msgspec import Struct

from gateway.core.model import Ask, Decision, Deny, Hop, Permit, Uid
from gateway.core.policy.bundle import Bundle, Trial
from gateway.core.policy.case import consulted
from gateway.core.policy.entities import World
from gateway.core.policy.syntax import uid_of
from gateway.core.reasons import Reason

Action = tuple[str, Uid]
"""What is done, and with what."""
TOGETHER = ""
"""Stands for a draft's key where all drafts were tried at once."""
OF_POLICY = frozenset(
    {
        Reason.NO_PERMIT,
        Reason.FORBIDDEN,
        Reason.POLICY_ERROR,
        Reason.ARGUMENTS_INVALID,
        Reason.TOOL_UNKNOWN,
        Reason.AGENT_UNREGISTERED,
        Reason.LIVE_ANCESTRY,
    }
)
"""Reasons of denials that ``decide`` makes. Any other denial stands whatever policies say."""


class Opinion(Struct, frozen=True):
    """What a draft, or all of them, would have said instead."""

    draft: str
    """``<id>@<revision>``, or TOGETHER."""
    verdict: Literal["permit", "ask", "deny"]
    reason: Reason
    policies: tuple[str, ...] = ()
    """Ids of those that would have determined it."""
    groups: tuple[str, ...] = ()
    detail: str = ""
    """Of an error; it holds no argument values."""


class Staged(Struct, frozen=True):
    """The drafts that concerned a call, and those that would have changed its verdict."""

    asked: tuple[str, ...]
    differing: tuple[Opinion, ...] = ()


def tried(
    decision: Decision, bundle: Bundle, actions: Sequence[Action], decide: Callable[[Bundle], Decision]
) -> Staged | None:
    """What the drafts beside ``bundle`` say of the hop that it decided; None where none concerns the call.

    ``actions`` are all that were decided of the hop; ``decide`` is how, on a given bundle. A draft that can't be
    evaluated is told as one that denies with POLICY_ERROR.
    """
    if not bundle.trials or not (isinstance(decision, Permit | Ask) or decision.reason in OF_POLICY):
        return None
    alone = [trial for trial in bundle.trials if len(trial.drafts) == 1]
    concerned = [trial for trial in alone if concerns(trial, decision.hop, bundle, actions)]
    if not concerned:
        return None
    sets = [(trial.drafts[0].change.key, trial.bundle) for trial in concerned]
    if len(concerned) > 1:
        # Where only one concerns the call, what it says alone is what all say together.
        sets.append((TOGETHER, bundle.trials[-1].bundle))
    said = (_opinion(key, decide(each)) for key, each in sets)
    standing = _answer(_opinion(TOGETHER, decision))
    return Staged(
        asked=tuple(trial.drafts[0].change.key for trial in concerned),
        differing=tuple(opinion for opinion in said if _answer(opinion) != standing),
    )


def concerns(trial: Trial, hop: Hop, bundle: Bundle, actions: Sequence[Action]) -> bool:
    """False only where the trial's one draft can't change what is decided of the hop."""
    if _looked_into(trial.bundle) != _looked_into(bundle):
        return True
    principal = Uid("McpServer", hop.asking) if hop.asking is not None else _caller(hop)
    trees = [tree for tree in _trees(trial) if _fits(tree.principal, principal)]
    return any(
        _retypes(trial.bundle, bundle, resource)
        or any(may_match(tree, bundle.world, action, resource) for tree in trees)
        for action, resource in actions
    )


def _trees(trial: Trial) -> Iterator[pst.Template]:
    for draft in trial.drafts:
        yield from (rule.tree for rule in (draft.before, draft.after) if rule is not None)


def _looked_into(bundle: Bundle) -> frozenset[pst.Expr]:
    """What has to be registered for any call to be decided; principal and resource always are."""
    return frozenset(expr for expr in bundle.reads.dereferenced if not isinstance(expr, pst.Var))


def _retypes(one: Bundle, other: Bundle, resource: Uid) -> bool:
    """Whether the two hold the arguments of a tool to different types."""
    server, _, tool = resource.id.partition("/")
    mine, others = (bundle.arguments.get(server, {}).get(tool) for bundle in (one, other))
    return resource.type == "Tool" and mine != others


def may_match(tree: pst.Template, world: World, action: str, resource: Uid, *, by_type: bool = False) -> bool:
    """Whether the scope could match, for what is done and for what it derives from; ``by_type``: any such resource."""
    fits = of_type(tree.resource, resource.type) if by_type else _fits(tree.resource, resource)
    if fits and _names(tree.action, world, action):
        return True
    return any(_names(tree.action, world, source) for source in consulted(action, resource))


def _caller(hop: Hop) -> Uid:
    return Uid("Agent", hop.agent) if hop.agent is not None else Uid("User", hop.chain.sub)


def _names(scope: pst.ActionConstraint, world: World, action: str) -> bool:
    match scope:
        case pst.ActionEq(entity=entity):
            return uid_of(entity) in world.ancestors(Uid("Action", action))
        case pst.ActionIn(entities=entities):
            return any(uid_of(entity) in world.ancestors(Uid("Action", action)) for entity in entities)
    return True


def _fits(scope: pst.PrincipalOrResourceConstraint, uid: Uid) -> bool:
    """By type and identity alone: memberships are Cedar's to find."""
    match scope:
        case pst.ScopeEq(entity=pst.EntityUid() as entity):
            return uid_of(entity) == uid
        case pst.ScopeIs(entity_type=kind) | pst.ScopeIsIn(entity_type=kind):
            return str(kind) == uid.type
    return True


def of_type(scope: pst.PrincipalOrResourceConstraint, kind: str) -> bool:
    """Whether the scope could match something of the type."""
    match scope:
        case pst.ScopeEq(entity=pst.EntityUid() as entity):
            return uid_of(entity).type == kind
        case pst.ScopeIs(entity_type=wanted) | pst.ScopeIsIn(entity_type=wanted):
            return str(wanted) == kind
    return True


def _opinion(key: str, decision: Decision) -> Opinion:
    policies = tuple(policy.id for policy in decision.policies)
    match decision:
        case Permit():
            return Opinion(key, "permit", Reason.PERMITTED, policies)
        case Ask(groups=groups):
            return Opinion(key, "ask", Reason.APPROVAL_REQUIRED, policies, groups)
        case Deny(reason=reason, detail=detail):
            return Opinion(key, "deny", reason, policies, detail=detail if reason is Reason.POLICY_ERROR else "")


def _answer(opinion: Opinion) -> tuple[str, Reason, tuple[str, ...]]:
    """What the caller would notice."""
    return opinion.verdict, opinion.reason, opinion.groups
