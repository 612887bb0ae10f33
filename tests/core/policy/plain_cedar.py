"""Cedar asked in the plainest way, to compare with: all policies, all entities, the whole schema, no memory."""

from dataclasses import replace

from cedarpy import Entities, PolicySet, Schema, pst

from gateway.core.model import Ask, Decision, Deny, Determining, Hop, Permit, Uid
from gateway.core.policy.argtypes import schema_with
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.entities import World, actions, load, offered, registered
from gateway.core.policy.evaluate import Evaluation, evaluate
from gateway.core.policy.facts import Facts, Undecided, caller, gather, missing, using
from gateway.core.policy.footprint import footprint
from gateway.core.policy.listing import list_tree
from gateway.core.policy.provenance import Witness
from gateway.core.policy.rule import policy_set
from gateway.core.reasons import Reason
from gateway.core.registry import Registry

LISTING = {"Tool": "listTools", "McpResource": "listResources", "Prompt": "listPrompts"}
EVERYTHING = pst.Template("(all)", "permit", pst.ScopeAny(), pst.ScopeAny(), pst.ScopeAny(), (), pst.FrozenMap())


class Plain:
    """One bundle's policies on one registry."""

    def __init__(self, schema: str, bundle: Bundle, registry: Registry) -> None:
        self._bundle = bundle
        self._registry = registry
        self._schema = Schema.from_str(schema_with(schema, bundle.arguments))
        self._world = World({**registered(registry), **actions(self._schema)})
        self._trees = {rule.id: rule.tree for rule in bundle.rules.values()}

    def decide(self, hop: Hop) -> Decision:
        """What POLICY 2.1, 2.3 and 2.5 say, for actions that derive from nothing."""
        bundle = self._bundle

        def deny(reason: Reason, detail: str, policies: tuple[Determining, ...] = ()) -> Deny:
            return Deny(hop, reason, policies, bundle.digest, 1, detail)

        facts = gather(hop, self._registry, self._world, bundle.arguments)
        if isinstance(facts, Undecided):
            return deny(facts.reason, facts.detail)
        first = self._ask(self._trees, facts, approved=False)
        if first.error is not None:
            return deny(Reason.POLICY_ERROR, first.error)
        policies = self._told(first, facts)
        if first.allowed:
            return Permit(hop, policies, bundle.digest, 1)
        if not policies:
            return deny(Reason.NO_PERMIT, f"no policy permits {hop.call.action} on {hop.call.resource}")
        if any(policy.approval is None for policy in policies):
            return deny(Reason.FORBIDDEN, "", policies)
        others = {
            name: tree for name, tree in self._trees.items() if "approvers" not in bundle.rules[name].statement.text
        }
        lifted = self._ask(others, facts, approved=True)
        if lifted.error is not None:
            return deny(Reason.POLICY_ERROR, lifted.error)
        if not lifted.allowed:
            return deny(Reason.FORBIDDEN, "approval would not help: the call would be denied all the same", policies)
        return Ask(hop, policies, tuple(sorted({each.approval for each in policies})), bundle.digest, 1)

    def may_use(self, hop: Hop, item: Uid) -> bool:
        """What POLICY 2.4 says of one item of a list."""
        asked, entity = caller(hop, self._registry, self._world), self._world.get(item) or offered(item, self._registry)
        if isinstance(asked, Undecided) or entity is None:
            return False
        listed = {name: tree for name, one in self._trees.items() if (tree := list_tree(one)) is not None}
        forbids = {name: tree for name, tree in listed.items() if tree.effect == "forbid"}
        use = using(asked, entity)
        listing = Facts(use.principal, LISTING[item.type], use.resource, use.context, use.world)
        may = self._ask(listed, use, approved=False).allowed
        return may and self._ask({**forbids, "(all)": EVERYTHING}, listing, approved=False).allowed

    def _ask(self, trees: dict[str, pst.Template], facts: Facts, *, approved: bool) -> Evaluation:
        everything = (*facts.world.registered, *facts.world.brought)
        try:
            entities = load(facts.world, everything, self._schema)
        except ValueError:
            return Evaluation(False, error="an entity of the call does not fit the schema")
        absent = self._absent(trees, facts, entities)
        if absent is not None:
            return Evaluation(False, error=absent)
        policies = PolicySet.from_pst(policy_set(trees))
        return evaluate(policies, self._schema, facts, entities, approved=approved)

    def _absent(self, trees: dict[str, pst.Template], facts: Facts, entities: Entities) -> str | None:
        """What a policy whose scope matches, says Cedar, looks into though nobody registered it."""
        scopes = {name: replace(tree, effect="permit", clauses=()) for name, tree in trees.items()}
        speaking = evaluate(PolicySet.from_pst(policy_set(scopes)), self._schema, facts, entities, approved=False)
        found = [missing(facts, footprint(trees[name]).dereferenced) for name in speaking.policies]
        return next((absent for absent in found if absent is not None), None)

    def _told(self, found: Evaluation, facts: Facts) -> tuple[Determining, ...]:
        witness = Witness(facts, self._registry, self._bundle.digest_key)
        rules = [self._bundle.rules[name] for name in found.policies]
        return tuple(
            Determining(
                rule.id,
                rule.place.tier,
                rule.statement.path,
                rule.effect,
                witness.matched(rule.footprint),
                rule.approval,
            )
            for rule in rules
        )
