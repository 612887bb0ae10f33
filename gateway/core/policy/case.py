"""A hop made ready to be asked about: its facts, its entities, and what a derived action derives from.

Opening a server and listing what it has derives from what may be used there, an agent's card from delegation to
it (POLICY 2.4), and following a task from using the tool that made it. What follows from the answers is decided
elsewhere.
"""

from collections.abc import Iterator, Mapping

from cedarpy import Entities, PolicySet, Schema
from msgspec import Struct, structs

from gateway.core.model import Hop, Uid
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.entities import Entity, offered
from gateway.core.policy.evaluate import Evaluation, evaluate
from gateway.core.policy.facts import Facts, Undecided, gather, missing, using
from gateway.core.reasons import Reason
from gateway.core.registry import Registry

_OPENING = (
    "discover", "notify", "listTools", "listResources", "listPrompts", "listTasks", "subscribe", "setLogLevel",
)  # fmt: skip
_FROM_USE = frozenset((action, "McpServer") for action in _OPENING)
_FROM_TOOL = frozenset((action, "McpTask") for action in ("getTask", "updateTask", "cancelTask"))
_FROM_DELEGATION = frozenset({("discover", "Agent")})
_LISTED_BY = {"invokeTool": "listTools", "readResource": "listResources", "getPrompt": "listPrompts"}


_SOURCES: Mapping[tuple[str, str], frozenset[str]] = {
    **dict.fromkeys(_FROM_USE, frozenset({*_LISTED_BY, *_LISTED_BY.values()})),
    **dict.fromkeys(_FROM_TOOL, frozenset({"invokeTool"})),
    **dict.fromkeys(_FROM_DELEGATION, frozenset({"delegate"})),
    ("complete", "Prompt"): frozenset({"getPrompt"}),
}


def consulted(action: str, resource: Uid) -> frozenset[str]:
    """The actions, on whatever resources, that policies are asked about where none speaks of ``action``."""
    return _SOURCES.get((action, resource.type), frozenset())


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
    if asked == ("complete", "Prompt"):
        yield case.doing("getPrompt")
    if asked in _FROM_TOOL:
        yield from _makers(case.facts, bundle)
    if asked in _FROM_USE:
        for item in _usable(case.facts.resource.id, bundle):
            use = loaded(using(case.facts, item), bundle)
            if isinstance(use, Case):
                yield use


def _makers(facts: Facts, bundle: Bundle) -> Iterator[Case]:
    """The use of the tool that made a task."""
    made = facts.world.get(facts.resource)
    for parent in () if made is None else made.parents:
        tool = bundle.world.get(parent) if parent.type == "Tool" else None
        use = None if tool is None else loaded(using(facts, tool), bundle)
        if isinstance(use, Case):
            yield use


def _usable(server: str, bundle: Bundle) -> Iterator[Entity]:
    """The registered things of a server, then some resource and some prompt of which nothing is known."""
    known = bundle.registry.servers[server]
    uids = [item.uid for items in (known.tools, known.resources) for item in items.values()]
    yield from (entity for uid in uids if (entity := bundle.world.get(uid)) is not None)
    unnamed = (offered(Uid(kind, f"{server}/"), bundle.registry) for kind in ("McpResource", "Prompt"))
    yield from (entity for entity in unnamed if entity is not None)


def derived(case: Case, source: Case, bundle: Bundle) -> Evaluation | None:
    """The permit that the action of ``case`` takes over from one of its derivations.

    A forbid that keeps a tool off lists doesn't lose the tasks that were made with it.
    """
    if case.facts.resource.type != "McpTask":
        return listed(source, bundle)
    answer = source.ask(bundle.sets.listed)
    return answer if answer.allowed else None


def listed(case: Case, bundle: Bundle) -> Evaluation | None:
    """The list bundle's permit of a case, unless a forbid keeps its item off lists."""
    answer = case.ask(bundle.sets.listed)
    if not answer.allowed:
        return None
    listing = _LISTED_BY.get(case.facts.action)
    if listing is not None and not case.doing(listing).ask(bundle.sets.list_forbids).allowed:
        return None
    return answer
