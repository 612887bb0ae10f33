"""A hop made ready to be asked about, and asked: its facts, the slice that decides it, what it derives from.

Opening a server and listing what it has derives from what may be used there, an agent's card from delegation to
it (POLICY 2.4), and following a task from using the tool that made it. What follows from the answers is decided
elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping

from cedarpy import Entities
from msgspec import Struct, structs

from gateway.core.model import Hop, Uid
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.entities import Entity, offered
from gateway.core.policy.evaluate import Evaluation, evaluate
from gateway.core.policy.facts import Facts, Undecided, gather, missing, using
from gateway.core.policy.memory import Answer
from gateway.core.policy.reads import Reader, written
from gateway.core.policy.schemas import Typed
from gateway.core.policy.slices import Cut, Slice
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
    """Facts, and the bundle that they are to be decided by."""

    facts: Facts
    bundle: Bundle

    def ask(self, cut: Cut, *, approved: bool = False) -> Answer:
        """Cedar's answer to one question, from memory where the same facts were decided before."""
        bundle, facts = self.bundle, self.facts
        chosen = cut.of(facts)
        absent = missing(facts, chosen.dereferenced)
        if absent is not None:
            return Answer(Evaluation(False, error=absent))
        if chosen.reads_usage and "usage" not in facts.context:
            return Answer(Evaluation(False, error="what was used lately isn't known, and a policy reads it"))
        typed = bundle.schemas.of(facts.context.get("args"))
        key = None if chosen.reading is None else self._key(chosen, chosen.reading, typed, approved=approved)
        known = bundle.memory.find(key)
        if known is not None:
            return known
        try:
            entities = bundle.handles.load(facts.world, (*facts.roots(), *chosen.literals))
        except ValueError:
            return Answer(Evaluation(False, error="an entity of the call does not fit the schema"))
        found = Answer(evaluate(chosen.policies, typed.handle, facts, entities, approved=approved))
        bundle.memory.put(key, found)
        return found

    def _key(self, chosen: Slice, reading: Iterable[Reader], typed: Typed, *, approved: bool) -> bytes | None:
        facts = self.facts
        tool = self.bundle.registry.tool(*facts.resource.id.split("/", 1)) if "args" in facts.context else None
        asked = (chosen.digest, typed.digest, approved, facts.action)
        # How a record shows an argument is the registry's to say, and may change.
        marks = () if tool is None else sorted(tool.sensitive)
        about = (facts.principal.type, facts.principal.id, facts.resource.type, facts.resource.id)
        return written((*asked, *about, marks), reading, facts)

    def doing(self, action: str) -> "Case":
        """The same caller and resource with another action."""
        return Case(structs.replace(self.facts, action=action), self.bundle)


def case_of(hop: Hop, bundle: Bundle, registry: Registry) -> Case | Undecided:
    """The case of a hop, or why Cedar is not to be asked about it."""
    if not bundle.compiled_for(registry):
        return Undecided(Reason.POLICY_ERROR, "the bundle was compiled for another registry")
    facts = gather(hop, registry, bundle.world, bundle.arguments)
    return facts if isinstance(facts, Undecided) else Case(facts, bundle)


def all_entities(case: Case) -> Entities | None:
    """The entities that the case and any policy of the bundle reach; None where they can't be had."""
    facts, bundle = case.facts, case.bundle
    if missing(facts, bundle.reads.dereferenced) is not None:
        return None
    try:
        return bundle.handles.load(facts.world, (*facts.roots(), *bundle.reads.literals))
    except ValueError:
        return None


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
            yield Case(using(case.facts, item), bundle)


def _makers(facts: Facts, bundle: Bundle) -> Iterator[Case]:
    """The use of the tool that made a task."""
    made = facts.world.get(facts.resource)
    for parent in () if made is None else made.parents:
        tool = bundle.world.get(parent) if parent.type == "Tool" else None
        if tool is not None:
            yield Case(using(facts, tool), bundle)


def _usable(server: str, bundle: Bundle) -> Iterator[Entity]:
    """The registered things of a server, then some resource and some prompt of which nothing is known."""
    known = bundle.registry.servers[server]
    uids = [item.uid for items in (known.tools, known.resources) for item in items.values()]
    yield from (entity for uid in uids if (entity := bundle.world.get(uid)) is not None)
    unnamed = (offered(Uid(kind, f"{server}/"), bundle.registry) for kind in ("McpResource", "Prompt"))
    yield from (entity for entity in unnamed if entity is not None)


def derived(case: Case, source: Case, bundle: Bundle) -> Answer | None:
    """The permit that the action of ``case`` takes over from one of its derivations.

    A forbid that keeps a tool off lists doesn't lose the tasks that were made with it.
    """
    if case.facts.resource.type != "McpTask":
        return listed(source, bundle)
    answer = source.ask(bundle.cuts.listed)
    return answer if answer.evaluation.allowed else None


def listed(case: Case, bundle: Bundle) -> Answer | None:
    """The list bundle's permit of a case, unless a forbid keeps its item off lists."""
    answer = case.ask(bundle.cuts.listed)
    if not answer.evaluation.allowed:
        return None
    listing = _LISTED_BY.get(case.facts.action)
    if listing is not None and not case.doing(listing).ask(bundle.cuts.list_forbids).evaluation.allowed:
        return None
    return answer
