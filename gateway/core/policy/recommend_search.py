"""Finds few attribute conjunctions that cover what was used and hold no pocket without use.

Sequential covering. For the most used request that nothing covers yet, a beam search adds terms which that request
meets until the region is pure; of the pure regions the one that covers most that is new is kept, since what is pure
and larger is the simpler account. Then the kept ones are boiled down. Doesn't write policies.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from msgspec import Struct, structs

from gateway.core.policy.recommend_pockets import Caution
from gateway.core.policy.recommend_regions import Region, Use
from gateway.core.policy.recommend_terms import Term

WIDTH, DEPTH = 8, 5
"""Of the beam: conjunctions that are followed at once, and their longest."""
SPARSE = 0.25
"""Of the usual density: what is used so much less is an average of what is used and what isn't."""
ROUNDS = 1
"""How often all regions are looked at again in the light of the others, at most."""


class Found(Struct, frozen=True):
    """What covers the use, the strongest first, and the triples that nothing does."""

    regions: tuple[Region, ...]
    left: int


def covering(use: Use, order: Sequence[int], caution: Caution) -> Found:
    """The regions that cover the use. ``order``: triples, the most telling first."""
    regions = _boiled_down(_covered(use, use.all, order, caution), caution)
    stricter = structs.replace(caution, density=max(caution.density, SPARSE * _usual_density(regions)))
    for _ in range(ROUNDS):
        again = _looked_at_apart(use, regions, order, stricter)
        if again == regions:
            break
        regions = again
    left = use.all
    for region in regions:
        left &= ~region.hits
    return Found(tuple(regions), left)


def _usual_density(regions: Sequence[Region]) -> float:
    """The share that was used of the region in which the middle one of all triples lies; 0 without any."""
    ordered = sorted(
        (region.pairs.bit_count() / region.cells.bit_count(), region.hits.bit_count()) for region in regions
    )
    half = sum(hits for _, hits in ordered) / 2
    for density, hits in ordered:
        half -= hits
        if half <= 0:
            return density
    return 0.0


def _covered(use: Use, left: int, order: Sequence[int], caution: Caution) -> list[Region]:
    """Regions around the triples of ``left``, as many as it takes."""
    found: list[Region] = []
    tried = set[int]()
    for triple in order:
        cell = use.triples[triple][0]
        if not left >> triple & 1 or cell in tried:
            continue
        tried.add(cell)
        best = _best(use, triple, left, caution)
        if best is not None:
            found.append(best)
            left &= ~best.hits
    return found


def _looked_at_apart(use: Use, regions: Sequence[Region], order: Sequence[int], caution: Caution) -> list[Region]:
    """The regions, but those that are impure without the use that others account for found anew."""
    kept = list(regions)
    for region in sorted(regions, key=lambda region: (region.hits.bit_count(), region.terms)):
        others = [other for other in kept if other is not region]
        apart = use.setting_aside(others)
        if apart.is_pure(region, caution) and apart.suits_users(region, caution):
            continue
        alone = region.hits & ~apart.aside_hits
        kept = [*others, *_covered(apart, alone, order, caution)]
    return _boiled_down(kept, caution)


def _best(use: Use, triple: int, left: int, caution: Caution) -> Region | None:
    """The pure region around one triple that covers the most of what is left."""
    cell, user = use.triples[triple]
    terms = sorted(use.space.terms_at(*use.space.place(cell), user))
    pure = [region for region in _pure(use, terms, left, caution) if _supported(use, region, left, caution)]
    if not pure:
        return None
    best = max(pure, key=lambda region: _value(use, region, left))
    return _simplest(use, best, left, caution)


def _pure(use: Use, terms: Sequence[Term], left: int, caution: Caution) -> Iterator[Region]:
    """Pure regions around what meets ``terms``: first by agent and tool, and where that isn't all, by user."""
    people = [term for term in terms if term.side in ("user", "link")]
    things = [term for term in terms if term.side not in ("user", "link")]
    beam = [use.everything()]
    for _ in range(DEPTH):
        next_beam: list[Region] = []
        for region in _grown(use, beam, things, left, caution):
            if len(next_beam) == WIDTH:
                break
            pure = _says_what(region) and use.is_pure(region, caution)
            if pure and use.suits_users(region, caution):
                yield region
                continue
            if pure:
                yield from _narrowed(use, region, people, caution)
            next_beam.append(region)
        beam = next_beam


def _grown(use: Use, beam: Sequence[Region], terms: Sequence[Term], left: int, caution: Caution) -> list[Region]:
    """The beam's regions with one term more, the most promising first, and each but once."""
    grown: dict[tuple[int, int], Region] = {}
    for region in beam:
        for term in terms:
            part = use.within(region, term)
            if part.cells == region.cells or (part.hits & left).bit_count() < caution.pairs:
                continue
            known = grown.get((part.cells, part.hits))
            if known is None or (len(part.terms), part.terms) < (len(known.terms), known.terms):
                grown[part.cells, part.hits] = part
    return sorted(grown.values(), key=lambda region: (-_promise(use, region, left), region.terms))[: 3 * WIDTH]


def _narrowed(use: Use, region: Region, people: Sequence[Term], caution: Caution) -> Iterator[Region]:
    """The region for those users alone that it is pure for, by one term or two."""
    singles = [use.within(region, term) for term in people]
    pure = [each for each in singles if use.suits_users(each, caution) and use.is_pure(each, caution)]
    if not pure:
        doubles = (use.region((*region.terms, one, other)) for one, other in combinations(people, 2))
        pure = [each for each in doubles if use.suits_users(each, caution) and use.is_pure(each, caution)]
    yield from pure


def _says_what(region: Region) -> bool:
    """Whether it says of which tools it speaks: no policy is recommended for all there are."""
    return any(term.side in ("tool", "pair") for term in region.terms)


def _supported(use: Use, region: Region, left: int, caution: Caution) -> bool:
    """Whether enough was used, by enough agents, and more than so many conditions would find by chance."""
    new = (region.hits & left).bit_count()
    return (
        new >= caution.pairs
        and region.pairs.bit_count() >= caution.pairs
        and len(use.agents(region.pairs)) >= caution.agents
        and (not caution.cautious or use.worth(region) >= caution.saved_bits)
    )


def _value(use: Use, region: Region, left: int) -> tuple[float, tuple[Term, ...]]:
    new = (region.hits & left).bit_count() / max(region.hits.bit_count(), 1)
    return use.worth(region) * new, tuple(reversed(region.terms))


def _promise(use: Use, region: Region, left: int) -> float:
    """How far use within differs from use everywhere, in bits, as far as it isn't covered yet."""
    hits = region.hits.bit_count()
    return use.promise(region) * (region.hits & left).bit_count() / hits if hits else 0.0


def _simplest(use: Use, region: Region, left: int, caution: Caution) -> Region:
    """The region without the terms that it stays pure without."""
    for term in sorted(region.terms, reverse=True):
        wider = use.region(other for other in region.terms if other != term)
        if not _says_what(wider) or use.worth(wider) < use.worth(region):
            continue
        if use.is_pure(wider, caution) and use.suits_users(wider, caution):
            region = wider
    return region


def _boiled_down(regions: Sequence[Region], caution: Caution) -> list[Region]:
    """Without those that the others cover nearly, the weakest first; the strongest first."""
    kept = sorted(regions, key=lambda region: (-region.hits.bit_count(), region.terms))
    for region in reversed(list(kept)):
        others = 0
        for other in kept:
            if other is not region:
                others |= other.hits
        alone = region.hits & ~others
        if alone.bit_count() < caution.pairs:
            kept.remove(region)
    return kept
