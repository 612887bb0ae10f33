"""The calls of one process as they come and go: counted for all whose they are, held to the quotas.

Times are whole milliseconds of a clock that only goes forward, passed in. Nothing here waits, so a check and what it
lets in are one step. Doesn't know requests, and refuses nothing itself: it says what would be too much.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from gateway.core.model import Usage
from gateway.core.quotas import NO_QUOTAS, Excess, Quotas, excesses, worst
from gateway.core.tally import Counted, Tallies, Tally
from gateway.core.usage import KINDS, SEEN, Kind, Subject

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

    def tally(self, subject: Subject, now: int) -> Tally:
        """The tally of a subject's next calls."""
        return self._tables[subject.kind].of(_key(subject), now)

    def begin(self, subject: Subject, tally: Tally) -> None:
        """One call more is running."""
        self._tables[subject.kind].begin(_key(subject), tally)

    def end(self, subject: Subject, tally: Tally) -> None:
        """It has ended."""
        self._tables[subject.kind].end(_key(subject), tally)

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


class Metered:
    """One call: checked when its head is read, counted once it is known whole, released when it is over."""

    def __init__(self, metering: Metering) -> None:
        self._metering = metering
        self._running: dict[Subject, Tally] = {}
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
        for tally in self._running.values():
            tally.requests_minute.add(now, 1)
            tally.requests_hour.add(now, 1)
            tally.bytes_hour.add(now, size)
        return None

    def answers(self, size: int, quotas: Quotas, now: int) -> Excess | None:
        """Count ``size`` bytes of the answer; says so where that was too much."""
        found = None
        for subject, tally in self._running.items():
            tally.bytes_hour.add(now, size)
            most = quotas.of(subject).bytes_per_hour
            if most is not None and tally.bytes_hour.total(now) > most:
                found = Excess(subject, "bytes_per_hour", most, tally.bytes_hour.wait(now, most - 1))
        return found

    def usage(self, now: int) -> Usage:
        """What policies see: the counts of all whose call it is, itself included; 0 for whom there isn't."""
        told: dict[str, int] = {}
        for subject, tally in self._running.items():
            if subject.kind in SEEN:
                told[f"{subject.kind}_requests_minute"] = tally.requests_minute.total(now)
                told[f"{subject.kind}_concurrent"] = tally.concurrent
                told[f"{subject.kind}_bytes_hour"] = tally.bytes_hour.total(now)
        return Usage(**told)

    def release(self) -> None:
        """The call is over. Saying so again changes nothing."""
        self._over = True
        while self._running:
            self._metering.end(*self._running.popitem())

    def _checked(self, subjects: Iterable[Subject], quotas: Quotas, size: int, now: int) -> Iterable[Excess]:
        if quotas is NO_QUOTAS or not (quotas.named or quotas.pairs):
            return
        for subject in subjects:
            running = subject in self._running
            tally = self._running[subject] if running else self._metering.tally(subject, now)
            yield from excesses(subject, quotas.of(subject), tally, now, size, running=running)

    def _begin(self, subjects: Iterable[Subject], now: int) -> None:
        if self._over:
            # Whoever cancelled it has released it: nothing would end this again.
            raise RuntimeError("a call that is over can't begin")
        for subject in subjects:
            if subject not in self._running:
                tally = self._metering.tally(subject, now)
                self._metering.begin(subject, tally)
                self._running[subject] = tally


def _key(subject: Subject) -> str:
    return f"{subject.name}\n{subject.tool}" if subject.tool else subject.name
