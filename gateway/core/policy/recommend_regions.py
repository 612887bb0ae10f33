"""Regions of a space, conjunctions of terms, and what was used within them. Counts; draws no conclusion but purity.

What a pocket is is ``recommend_pockets``'.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy

from msgspec import Struct

from gateway.core.policy.recommend_evenness import speaks_for_all
from gateway.core.policy.recommend_pockets import Caution, Test, has_pocket, rows_of, surprise
from gateway.core.policy.recommend_terms import USERS_OF_TEAM, Space, Term

TERM_BITS = 7
"""What a term costs: one of some hundred."""


class Region(Struct, frozen=True):
    """All requests that meet every term."""

    terms: tuple[Term, ...]
    cells: int
    """Requests of agents for tools, whoever the user."""
    hits: int
    """Used triples of agent, tool and user, as bits of ``Use.triples``."""
    users: int
    pairs: int
    """``cells`` that were used for one of ``users``."""


class Use:
    """What was used of a space: triples of agent, tool and user."""

    def __init__(self, space: Space, triples: Iterable[tuple[int, int]]) -> None:
        """``triples``: position of the request, position of the user."""
        self.space = space
        self.triples = tuple(sorted(triples))
        self.all = (1 << len(self.triples)) - 1
        self.cells = _bits(cell for cell, _ in self.triples)
        self.terms = tuple(sorted({*space.cells, *space.user_masks, USERS_OF_TEAM}))
        self.hits = {term: mask for term in self.terms if (mask := self._hits(term))}
        self._pairs: dict[tuple[Term, ...], int] = {}
        self.aside, self.aside_hits = 0, 0
        """Requests and triples that say nothing about purity, since other regions account for them."""
        self._answers: dict[tuple[str, tuple[Term, ...]], bool] = {}
        self._share = self.cells.bit_count() / max(space.all.bit_count(), 1)

    def everything(self) -> Region:
        """The region without terms."""
        return Region((), self.space.all, self.all, self.space.all_users, self.cells)

    def within(self, region: Region, term: Term) -> Region:
        """The part of a region that meets one term more."""
        terms = tuple(sorted({*region.terms, term}))
        hits = region.hits & self.hits.get(term, 0)
        if term.side in ("agent", "tool", "pair"):
            cells = self.space.cells.get(term, 0)
            return Region(terms, region.cells & cells, hits, region.users, region.pairs & cells)
        users = region.users & self.space.user_masks.get(term, self.space.all_users)
        people = tuple(each for each in terms if each.side in ("user", "link"))
        return Region(terms, region.cells, hits, users, region.cells & self._used_for(people))

    def region(self, terms: Iterable[Term]) -> Region:
        """The region of a conjunction."""
        found = self.everything()
        for term in sorted(terms):
            found = self.within(found, term)
        return found

    def asked(self, region: Region, pairs: int) -> int:
        """Triples that there are of ``pairs`` with the region's users."""
        if USERS_OF_TEAM not in region.terms:
            return pairs.bit_count() * region.users.bit_count()
        return sum(
            (pairs & cells).bit_count() * (region.users & users).bit_count() for users, cells in self.space.colleagues
        )

    def agents(self, cells: int) -> Mapping[int, int]:
        """How many of the requests are of which agent, by position."""
        width = self.space.width
        return Counter(cell // width for cell in positions(cells))

    def is_pure(self, region: Region, caution: Caution) -> bool:
        """Whether no pocket of agents and tools, by one term or two, is within the region."""
        return self._known(("pairs", region.terms), lambda: not self._has_pocket(region, caution))

    def suits_users(self, region: Region, caution: Caution) -> bool:
        """Whether no kind of user is a pocket: of the region, or of what one term of agent and tool sets apart."""
        return self._known(("users", region.terms), lambda: not self._has_user_pocket(region, caution))

    def promise(self, region: Region) -> float:
        """Bits by which the use of agents and tools within differs from that of everywhere."""
        return surprise(region.pairs.bit_count(), region.cells.bit_count(), self._share)

    def setting_aside(self, regions: Iterable[Region]) -> "Use":
        """The same use, of which what the regions account for says nothing about purity any more."""
        found = copy(self)
        found.aside, found.aside_hits, found._answers = 0, 0, {}
        for region in regions:
            found.aside_hits |= region.hits
            if all(term.side not in ("user", "link") for term in region.terms):
                found.aside |= region.cells
        return found

    def worth(self, region: Region) -> float:
        """Bits that the region saves as an account of use, less what it takes to write it down."""
        used = region.cells & self.cells
        hits = (self.all if not region.terms else self.hits_in(region.terms)).bit_count()
        share = hits / max(used.bit_count() * self.space.all_users.bit_count(), 1)
        users = surprise(region.hits.bit_count(), self.asked(region, used), share)
        found = surprise(used.bit_count(), region.cells.bit_count(), self._share)
        narrowed = region.hits.bit_count() / max(hits, 1)
        return found * narrowed + users - TERM_BITS * len(region.terms)

    def hits_in(self, terms: Iterable[Term]) -> int:
        """Triples that meet the terms of agent and tool, whoever the user."""
        found = self.all
        for term in terms:
            if term.side not in ("user", "link"):
                found &= self.hits.get(term, 0)
        return found

    def _known(self, question: tuple[str, tuple[Term, ...]], answer: Callable[[], bool]) -> bool:
        known = self._answers.get(question)
        if known is None:
            known = self._answers[question] = answer()
        return known

    def _has_pocket(self, region: Region, caution: Caution) -> bool:
        open_cells, open_pairs = region.cells & ~self.aside, region.pairs & ~self.aside
        size, total = open_cells.bit_count(), open_pairs.bit_count()
        if total < caution.density * size:
            return True
        rows = rows_of(self.space, open_cells, open_pairs)
        least = caution.users_share if any(_of_users(term) for term in region.terms) else caution.share
        if caution.cautious and not speaks_for_all(rows, (open_cells & self.cells).bit_count(), least, caution):
            return True
        return has_pocket(self.space, rows, total / size if size else 0.0, caution)

    def _has_user_pocket(self, region: Region, caution: Caution) -> bool:
        open_pairs, open_hits = region.pairs & ~self.aside, region.hits & ~self.aside_hits
        size, total = self.asked(region, open_pairs), open_hits.bit_count()
        share = total / size if size else 0.0
        plain = Test(share, caution.pocket_share, caution.user_bits)
        deep = Test(share, caution.pocket_share, caution.deep_user_bits)
        people = [
            (each, self.hits.get(term, 0))
            for term, mask in self.space.user_masks.items()
            for each in (region.users & mask,)
            if each and each != region.users
        ]
        parts = [(open_pairs, open_hits)]
        parts += [(open_pairs & mask, open_hits & self.hits.get(term, 0)) for term, mask in self.space.cells.items()]
        everyone, all_pairs = region.users.bit_count(), open_pairs.bit_count()
        for position, (pairs, hits) in enumerate(parts):
            test = deep if position else plain
            total, asked = hits.bit_count(), pairs.bit_count()
            if asked * everyone < test.least or (position and asked == all_pairs):
                continue
            for users, known in people:
                count, used = users.bit_count(), (hits & known).bit_count()
                if test.is_pocket(asked * count, used) or test.is_pocket(asked * (everyone - count), total - used):
                    return True
        return False

    def _hits(self, term: Term) -> int:
        space = self.space
        if term.side == "user":
            mask = space.user_masks[term]
            return _bits(index for index, (_, user) in enumerate(self.triples) if mask >> user & 1)
        width = space.width
        if term.side == "link":
            return _bits(
                index for index, (cell, user) in enumerate(self.triples) if space.links[cell // width] >> user & 1
            )
        known = f"{space.cells[term]:0{len(space.agents) * width}b}"[::-1]
        return _bits(index for index, (cell, _) in enumerate(self.triples) if known[cell] == "1")

    def _used_for(self, terms: tuple[Term, ...]) -> int:
        found = self._pairs.get(terms)
        if found is None:
            hits = self.all
            for term in terms:
                hits &= self.hits.get(term, 0)
            text = f"{hits:0{max(len(self.triples), 1)}b}"[::-1]
            found = _bits(cell for index, (cell, _) in enumerate(self.triples) if text[index] == "1")
            self._pairs[terms] = found
        return found


def _of_users(term: Term) -> bool:
    return term.side in ("user", "link")


def positions(mask: int) -> Iterator[int]:
    """The positions of the bits that are set."""
    data = mask.to_bytes((mask.bit_length() + 7) // 8, "little")
    return (index * 8 + bit for index, byte in enumerate(data) if byte for bit in range(8) if byte >> bit & 1)


def _bits(positions: Iterable[int]) -> int:
    found = sorted(set(positions))
    if not found:
        return 0
    data = bytearray(found[-1] // 8 + 1)
    for position in found:
        data[position >> 3] |= 1 << (position & 7)
    return int.from_bytes(data, "little")
