"""The decision on a hop: permit, ask or deny, with the policies that made it.

Default deny. An error, no answer, or an entity that should be there and isn't is a denial with
``policy_error``, never an allow. An approval that people have given only takes away the forbids that asked for it.
Whether there is one, and that it is used once, is ``core.approval``'s; scopes and revocation are not here either.
"""

from msgspec import Struct, structs

from gateway.core.model import Ask, Decision, Deny, Determining, Given, Hop, Permit, Uid
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.case import Case, case_of, derivations, derived, listed
from gateway.core.policy.entities import offered
from gateway.core.policy.facts import Facts, Undecided, caller, using
from gateway.core.policy.memory import Answer
from gateway.core.policy.provenance import Witness
from gateway.core.policy.slices import Cut
from gateway.core.reasons import Reason
from gateway.core.registry import Registry


class _Finding(Struct, frozen=True):
    """An answer and the facts it was made from: a derived one speaks of another action."""

    answer: Answer
    facts: Facts


def decide(hop: Hop, bundle: Bundle, registry: Registry, generation: int) -> Decision:
    """Decide the hop on its own generation's bundle and registry (POLICY 2.1, 2.3 to 2.5).

    Never raises for what a caller sends; whatever cannot be decided is a ``Deny``. Where a call takes several
    actions, the first that is denied is what the decision speaks of, or the first that has to be approved: then
    everybody's approval is asked for at once, and nobody's if another action is denied.
    """
    found = _decide(hop, bundle, registry, generation)
    for action, resource in hop.call.also:
        if isinstance(found, Deny):
            return found
        part = structs.replace(hop, call=structs.replace(hop.call, action=action, resource=resource, also=()))
        further = _decide(part, bundle, registry, generation)
        found = further if isinstance(further, Deny) else _both(found, further)
    return found


def _both(one: Permit | Ask, other: Permit | Ask) -> Permit | Ask:
    """Two actions of one call: an Ask of either is one of both."""
    first, second = (other, one) if isinstance(one, Permit) and isinstance(other, Ask) else (one, other)
    known = {policy.id for policy in first.policies}
    policies = (*first.policies, *(policy for policy in second.policies if policy.id not in known))
    if isinstance(first, Ask) and isinstance(second, Ask):
        return structs.replace(first, policies=policies, groups=tuple(sorted({*first.groups, *second.groups})))
    return structs.replace(first, policies=policies)


def _decide(hop: Hop, bundle: Bundle, registry: Registry, generation: int) -> Decision:
    def deny(reason: Reason, detail: str = "", policies: tuple[Determining, ...] = ()) -> Deny:
        return Deny(hop, reason, policies, bundle.digest, generation, detail)

    case = case_of(hop, bundle, registry)
    if isinstance(case, Undecided):
        return deny(case.reason, case.detail)
    first = _find(case, bundle, bundle.cuts.enforced, approved=False)
    if first.answer.evaluation.error is not None:
        return deny(Reason.POLICY_ERROR, first.answer.evaluation.error)
    policies = _determining(first, bundle)
    if first.answer.evaluation.allowed:
        return Permit(hop, policies, bundle.digest, generation)
    if not policies:
        return deny(Reason.NO_PERMIT, f"no policy permits {hop.call.action} on {hop.call.resource}")
    groups = tuple(sorted({policy.approval for policy in policies if policy.approval is not None}))
    if any(policy.approval is None for policy in policies):
        return deny(Reason.FORBIDDEN, policies=policies)
    if hop.given is not None and hop.given.groups.issuperset(groups):
        return _approved(hop, hop.given, case, policies, generation)
    lifted = _find(case, bundle, bundle.cuts.lifted, approved=True).answer.evaluation
    if lifted.error is not None:
        return deny(Reason.POLICY_ERROR, lifted.error)
    if not lifted.allowed:
        return deny(Reason.FORBIDDEN, "approval would not help: the call would be denied all the same", policies)
    return Ask(hop, policies, groups, bundle.digest, generation)


def _approved(hop: Hop, given: Given, case: Case, asking: tuple[Determining, ...], generation: int) -> Permit | Deny:
    """The decision with what people have said: every policy counts, also on who they are."""
    bundle = case.bundle
    facts = structs.replace(case.facts, context={**case.facts.context, "approvers": given.approvers})
    found = _find(structs.replace(case, facts=facts), bundle, bundle.cuts.enforced, approved=True)
    if found.answer.evaluation.error is not None:
        return Deny(hop, Reason.POLICY_ERROR, (), bundle.digest, generation, found.answer.evaluation.error)
    told = _determining(found, bundle)
    if not found.answer.evaluation.allowed:
        detail = "it was approved, and is denied all the same"
        return Deny(hop, Reason.FORBIDDEN, told or asking, bundle.digest, generation, detail)
    return Permit(hop, tuple(sorted((*asking, *told), key=lambda policy: policy.id)), bundle.digest, generation)


def may_use(hop: Hop, bundle: Bundle, registry: Registry, item: Uid) -> bool:
    """Whether ``item`` belongs in the answer to the listing ``hop`` (POLICY 2.4): a tool, a resource or a prompt.

    True iff a call of it with some arguments may be permitted, and no forbid applies to listing it. A tool has to be
    registered. What can't be decided is not listed.
    """
    if not bundle.compiled_for(registry):
        return False
    asked = caller(hop, registry, bundle.world)
    entity = bundle.world.get(item) or offered(item, registry)
    if isinstance(asked, Undecided) or entity is None:
        return False
    return listed(Case(using(asked, entity), bundle), bundle) is not None


def hangs_on_time(hop: Hop, bundle: Bundle, registry: Registry) -> bool:
    """Whether some policy that decides the hop reads the time, so that a permit may end without anything changing."""
    steps = ((hop.call.action, hop.call.resource), *hop.call.also)
    for action, resource in steps:
        part = structs.replace(hop, call=structs.replace(hop.call, action=action, resource=resource, also=()))
        case = case_of(part, bundle, registry)
        if isinstance(case, Case) and (
            bundle.cuts.enforced.of(case.facts).reads_time
            or any(bundle.cuts.listed.of(each.facts).reads_time for each in derivations(case, bundle))
        ):
            return True
    return False


def _find(case: Case, bundle: Bundle, cut: Cut, *, approved: bool) -> _Finding:
    """The answer; where no policy at all applies to a derived action, the first that it derives from."""
    answer = case.ask(cut, approved=approved)
    found = answer.evaluation
    if not found.allowed and not found.policies and found.error is None:
        for source in derivations(case, bundle):
            permitted = derived(case, source, bundle)
            if permitted is not None:
                return _Finding(permitted, source.facts)
    return _Finding(answer, case.facts)


def _determining(found: _Finding, bundle: Bundle) -> tuple[Determining, ...]:
    """What the record tells of the policies: the same for the same answer, whose key holds all that they read."""
    told = found.answer.told
    if told is None:
        told = found.answer.told = _told(found, bundle)
    return told


def _told(found: _Finding, bundle: Bundle) -> tuple[Determining, ...]:
    witness = Witness(found.facts, bundle.registry, bundle.digest_key)
    return tuple(
        Determining(
            id=rule.id,
            tier=rule.place.tier,
            file=rule.statement.path,
            effect=rule.effect,
            matched=witness.matched(rule.footprint),
            approval=rule.approval,
        )
        for rule in (bundle.rules[name] for name in found.answer.evaluation.policies)
    )
