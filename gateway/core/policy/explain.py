"""Why nothing permitted a hop: the permits that came nearest, and which of their clauses failed.

Computed on demand, never on the path of a decision, and it decides nothing. Clauses are tried one by one
by Cedar itself, and so are the alternatives of one that failed.
"""

from collections.abc import Iterable, Iterator

from cedarpy import Entities, PolicySet, pst
from msgspec import Struct

from gateway.core.model import Hop, Uid
from gateway.core.policy.bundle import Bundle
from gateway.core.policy.case import Case, all_entities, case_of, derivations
from gateway.core.policy.evaluate import satisfied
from gateway.core.policy.facts import Undecided
from gateway.core.policy.needs import SHOWN, told
from gateway.core.policy.provenance import Witness
from gateway.core.policy.rule import Rule, policy_set
from gateway.core.policy.syntax import alone, clauses, conjuncts, uid_of
from gateway.core.policy.ways import leaves, positive, ways
from gateway.core.registry import Registry


class _Miss(Struct, frozen=True, order=True):
    failed: int
    line: str


def near_misses(hop: Hop, bundle: Bundle, registry: Registry, limit: int = 5) -> tuple[str, ...]:
    """One line for each of the ``limit`` nearest permits, fewest failed clauses first.

    ``permit `finance-read` failed: principal.risk_level is "medium", needs "low"``. Empty where the hop
    could not be decided at all, or no permit speaks of its action.
    """
    case = case_of(hop, bundle, registry)
    if isinstance(case, Undecided):
        return ()
    nearest: dict[str, _Miss] = {}
    for asked in (case, *derivations(case, bundle)):
        for name, miss in _misses(asked, bundle):
            nearest[name] = min(miss, nearest.get(name, miss))
    return tuple(miss.line for miss in sorted(nearest.values())[:limit])


def _misses(case: Case, bundle: Bundle) -> Iterator[tuple[str, _Miss]]:
    entities = all_entities(case)
    if entities is None:
        return
    rules = [rule for rule in bundle.rules.values() if rule.effect == "permit" and _speaks_of(rule, case)]
    parts = {rule.id: _parts(rule) for rule in rules}
    held = _held((part for found in parts.values() for part in found), case, bundle, entities)
    failed = {
        name: lacking for name, found in parts.items() if (lacking := [part for part in found if part not in held])
    }
    below = _held(
        (leaf for lacking in failed.values() for part in lacking for leaf in leaves(part)), case, bundle, entities
    )
    witness = Witness(case.facts, bundle.registry, bundle.digest_key)
    for name, lacking in failed.items():
        reasons = [told(part, ways(part, below), case.facts, witness) for part in lacking[:SHOWN]]
        more = [f"and {len(lacking) - SHOWN} more"] if len(lacking) > SHOWN else []
        yield name, _Miss(len(lacking), f"permit `{name}` failed: {'; '.join([*reasons, *more])}")


def _parts(rule: Rule) -> tuple[pst.Expr, ...]:
    """The clauses in positive form: what ``!`` before a ``||`` joins is told one by one too."""
    return tuple(part for clause in clauses(rule.tree) for part in conjuncts(positive(clause)))


def _held(parts: Iterable[pst.Expr], case: Case, bundle: Bundle, entities: Entities) -> frozenset[pst.Expr]:
    """Those parts that hold; of one that errs neither it nor its negation does."""
    names = {str(index): part for index, part in enumerate(dict.fromkeys(parts))}
    permits = PolicySet.from_pst(policy_set({name: alone(name, part) for name, part in names.items()}))
    schema = bundle.schemas.of(case.facts.context.get("args")).handle
    return frozenset(names[name] for name in satisfied(permits, schema, case.facts, entities))


def _speaks_of(rule: Rule, case: Case) -> bool:
    ancestors = case.facts.world.ancestors(Uid("Action", case.facts.action))
    match rule.tree.action:
        case pst.ActionEq(entity=entity):
            return uid_of(entity) in ancestors
        case pst.ActionIn(entities=entities):
            return any(uid_of(entity) in ancestors for entity in entities)
    return True
