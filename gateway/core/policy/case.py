"""A hop made ready to be asked about: its facts, its entities, and what a derived action derives from.

Opening a server (``discover``, ``notify``, ``listTools``) derives from the tools that may be called there,
an agent's card from delegation to it (POLICY 2.4). What follows from the answers is decided elsewhere.
"""

from collections.abc import Iterator

from cedarpy import Entities, PolicySet, Schema
from msgspec import Struct, structs

from gateway.core.model import Hop
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.evaluate import Evaluation, evaluate
from gateway.core.policy.facts import Facts, Undecided, for_tool, gather, missing
from gateway.core.reasons import Reason
from gateway.core.registry import Registry

_FROM_TOOLS = frozenset({("discover", "McpServer"), ("notify", "McpServer"), ("listTools", "McpServer")})
_FROM_DELEGATION = frozenset({("discover", "Agent")})


class Case(Struct, frozen=True):
    """Facts with their entities loaded."""

    facts: Facts
    entities: Entities
    schema: Schema

    def ask(self, policies: PolicySet, *, approved: bool = False) -> Evaluation:
        """Evaluate one set of policies."""
        return evaluate(policies, self.schema, self.facts, self.entities, approved=approved)

    def doing(self, action: str) -> "Case":
        """The same caller and resource with another action."""
        return Case(structs.replace(self.facts, action=action), self.entities, self.schema)


def case_of(hop: Hop, bundle: Bundle, registry: Registry) -> Case | Undecided:
    """The case of a hop, or why Cedar is not to be asked about it."""
    if not bundle.compiled_for(registry):
        return Undecided(Reason.POLICY_ERROR, "the bundle was compiled for another registry")
    facts = gather(hop, registry, bundle.world, bundle.arguments)
    return facts if isinstance(facts, Undecided) else loaded(facts, bundle)


def loaded(facts: Facts, bundle: Bundle) -> Case | Undecided:
    """The facts with the entities that they and the bundle's literals reach."""
    absent = missing(facts, bundle.reads.dereferenced)
    if absent is not None:
        return Undecided(Reason.POLICY_ERROR, absent)
    try:
        entities = bundle.handles.load(facts.world, (*facts.roots(), *bundle.reads.literals))
    except ValueError:
        return Undecided(Reason.POLICY_ERROR, "an entity of the call does not fit the schema")
    return Case(facts, entities, bundle.schema)


def derivations(case: Case, bundle: Bundle) -> Iterator[Case]:
    """The cases any of which, if the list bundle permits it, permits a derived action; none for other actions."""
    asked = (case.facts.action, case.facts.resource.type)
    if asked in _FROM_DELEGATION:
        yield case.doing("delegate")
    if asked in _FROM_TOOLS:
        for tool in bundle.registry.servers[case.facts.resource.id].tools.values():
            call = loaded(for_tool(case.facts, tool), bundle)
            if isinstance(call, Case):
                yield call


def listed(case: Case, bundle: Bundle) -> Evaluation | None:
    """The list bundle's permit of a case, unless a forbid keeps its tool off lists."""
    answer = case.ask(bundle.sets.listed)
    if not answer.allowed:
        return None
    if case.facts.action == "invokeTool" and not case.doing("listTools").ask(bundle.sets.list_forbids).allowed:
        return None
    return answer
