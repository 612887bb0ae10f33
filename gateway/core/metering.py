"""The calls of one process as they come and go: counted for all whose they are, held to the quotas.

Times are whole milliseconds of a clock that only goes forward, passed in. Nothing here waits, so a check and what it
lets in are one step. Doesn't know requests, and refuses nothing itself: it says what would be too much.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from gateway.core.model import Usage
from gateway.core.quotas import NO_QUOTA, Excess, Quotas, excesses, worst
from gateway.core.tally import Counted, Tallies, Tally
from gateway.core.usage import KINDS, SEEN, Kind, Subject

_FACTS: Mapping[Kind, tuple[str, str, str]] = {
    kind: (f"{kind}_requests_minute", f"{kind}_concurrent", f"{kind}_bytes_hour") for kind in SEEN
}
"""What policies call the counts of each kind."""
COUNTERS = 10_000
"""Of each kind, unless the settings say otherwise; one takes about a kilobyte."""


class Standing(Struct, frozen=True):
    """What one subject has done lately, and what applies to it."""

    subject: Subject
    counted: Counted
    shared: bool = False
    """Whether these are the counts of all names that have none of their own."""


class Metering:
    """All counts."""

    def __init__(self, most: int = COUNTERS) -> None:
        self._tables: Mapping[Kind, Tallies] = {kind: Tallies(most) for kind in KINDS}
        self._refused = Tallies(most)

    def keep(self, most: int) -> None:
        """Count at most so many names of each kind from now on; those that have counts keep them."""
        for table in (*self._tables.values(), self._refused):
            table.most = most

    def call(self) -> "Metered":
        """A call that has come."""
        return Metered(self)

    def refused(self, peer: str, now: int) -> None:
        """A request of ``peer`` ended before there was anything to decide."""
        self._refused.of(peer, now).requests_minute.add(now, 1)

    def wait_of_refused(self, peer: str, quotas: Quotas, now: int) -> int:
        """Milliseconds that ``peer`` has to wait since too many of its requests were refused; 0: none."""
        return self._refused.of(peer, now).requests_minute.wait(now, quotas.refused_per_minute - 1)

    def place(self, subject: Subject, now: int) -> "Place":
        """Where a subject's next call is counted."""
        table, key = self._tables[subject.kind], f"{subject.name}\n{subject.tool}" if subject.tool else subject.name
        return Place(table, key, table.of(key, now))

    def tally(self, subject: Subject, now: int) -> Tally:
        """The tally of a subject's next calls."""
        return self.place(subject, now).tally

    def standings(self, kind: Kind, now: int) -> Iterable[Standing]:
        """What is known of a kind: the least lately seen first, those that share counts as one without a name."""
        table = self._tables[kind]
        for key in table.names():
            tally = table.find(key)
            if tally is not None and not tally.idle(now):
                name, _, tool = key.partition("\n")
                yield Standing(Subject(kind, name, tool), tally.counted(now))
        if not table.shared.idle(now):
            yield Standing(Subject(kind, ""), table.shared.counted(now), shared=True)

    def sizes(self) -> Mapping[Kind, int]:
        """How many names of each kind have counts of their own."""
        return {kind: len(table) for kind, table in self._tables.items()}


class Place(NamedTuple):
    """A name's tally, and the table that it is in."""

    table: Tallies
    key: str
    tally: Tally


class Metered:
    """One call: checked when its head is read, counted once it is known whole, released when it is over."""

    def __init__(self, metering: Metering) -> None:
        self._metering = metering
        self._running: dict[Subject, Place] = {}
        self._over = False

    def arrives(self, subjects: Sequence[Subject], quotas: Quotas, size: int, now: int) -> Excess | None:
        """Let the call in, or say what would be too much. It runs from now on, and isn't counted yet.

        ``size`` is that of the body as announced, 0 where it isn't.
        """
        excess = worst(self._checked(subjects, quotas, size, now))
        if excess is None:
            self._begin(subjects, now)
        return excess

    def counts(self, subjects: Sequence[Subject], quotas: Quotas, size: int, now: int) -> Excess | None:
        """Count the call, of ``size`` bytes, for all of ``subjects``; or for none, and say what would be too much."""
        excess = worst(self._checked(subjects, quotas, size, now))
        if excess is not None:
            return excess
        self._begin(subjects, now)
        for _, _, tally in self._running.values():
            tally.requests_minute.add(now, 1)
            tally.requests_hour.add(now, 1)
            tally.bytes_hour.add(now, size)
        return None

    def answers(self, size: int, quotas: Quotas, now: int) -> Excess | None:
        """Count ``size`` bytes of the answer; says so where that was too much."""
        found = None
        held = bool(quotas.named or quotas.pairs)
        for subject, (_, _, tally) in self._running.items():
            tally.bytes_hour.add(now, size)
            most = quotas.of(subject).bytes_per_hour if held else None
            if most is not None and tally.bytes_hour.total(now) > most:
                found = Excess(subject, "bytes_per_hour", most, tally.bytes_hour.wait(now, most - 1))
        return found

    def usage(self, now: int) -> Usage:
        """What policies see: the counts of all whose call it is, itself included; 0 for whom there isn't."""
        told: dict[str, int] = {}
        for subject, (_, _, tally) in self._running.items():
            if subject.kind in _FACTS:
                requests, concurrent, size = _FACTS[subject.kind]
                told[requests] = tally.requests_minute.total(now)
                told[concurrent] = tally.concurrent
                told[size] = tally.bytes_hour.total(now)
        return Usage(**told)

    def release(self) -> None:
        """The call is over. Saying so again changes nothing."""
        self._over = True
        while self._running:
            _, (table, key, tally) = self._running.popitem()
            table.end(key, tally)

    def _checked(self, subjects: Iterable[Subject], quotas: Quotas, size: int, now: int) -> Iterable[Excess]:
        if not (quotas.named or quotas.pairs):
            return
        for subject in subjects:
            quota = quotas.of(subject)
            if quota is not NO_QUOTA:
                place = self._running.get(subject)
                tally = self._metering.tally(subject, now) if place is None else place.tally
                yield from excesses(subject, quota, tally, now, size, running=place is not None)

    def _begin(self, subjects: Iterable[Subject], now: int) -> None:
        if self._over:
            # Whoever cancelled it has released it: nothing would end this again.
            raise RuntimeError("a call that is over can't begin")
        for subject in subjects:
            if subject not in self._running:
                place = self._running[subject] = self._metering.place(subject, now)
                place.table.begin(place.key, place.tally)
