"""Counting: how much happened lately, in bounded memory. Times are whole milliseconds of a clock that is passed in.

A count is never too low: a window is told in twelfths, and the oldest one counts until all of it is past. So what is
told of a minute is of the last 60 to 65 seconds, and of an hour of the last 60 to 65 minutes. A clock that goes back
stands still until it has caught up.
"""

from collections import Counter, OrderedDict

from msgspec import Struct

MINUTE = 60_000
HOUR = 3_600_000
_PARTS = 12
_SLOTS = _PARTS + 1
_LOOKED_AT = 4
"""Old tallies that one new one may push out or pass over: no name costs more than that."""


class Window:
    """A sum over the last ``length`` milliseconds."""

    __slots__ = ("_counts", "_last", "_total", "_width")

    def __init__(self, length: int) -> None:
        self._width = length // _PARTS
        self._counts = [0] * _SLOTS
        self._last = 0
        self._total = 0

    def add(self, now: int, amount: int) -> None:
        """Count ``amount`` at ``now``."""
        slot = now // self._width
        if slot > self._last:
            self._turn(slot)
        self._counts[self._last % _SLOTS] += amount
        self._total += amount

    def total(self, now: int) -> int:
        """The sum at ``now``."""
        slot = now // self._width
        if slot > self._last:
            self._turn(slot)
        return self._total

    def wait(self, now: int, room: int) -> int:
        """Milliseconds until the sum is at most ``room`` if nothing is added; 0 where it is."""
        left = self.total(now)
        oldest = self._last - _PARTS
        for slot in range(oldest, self._last + 1):
            if left <= room:
                break
            left -= self._counts[slot % _SLOTS]
            oldest = slot + 1
        return max(0, (oldest + _PARTS) * self._width - now) if oldest > self._last - _PARTS else 0

    def like(self) -> "Window":
        """Another one with the same counts."""
        other = Window(self._width * _PARTS)
        other._counts, other._last, other._total = [*self._counts], self._last, self._total
        return other

    def _turn(self, slot: int) -> None:
        """Leave out what is past by ``slot``, which is later than the last one."""
        if self._total:
            for gone in range(self._last + 1, min(slot, self._last + _SLOTS) + 1):
                self._total -= self._counts[gone % _SLOTS]
                self._counts[gone % _SLOTS] = 0
        self._last = slot


class Counted(Struct, frozen=True, kw_only=True):
    """What a tally says at one moment."""

    requests_minute: int = 0
    requests_hour: int = 0
    concurrent: int = 0
    bytes_hour: int = 0


class Tally:
    """The calls of one subject."""

    __slots__ = ("bytes_hour", "concurrent", "requests_hour", "requests_minute")

    def __init__(self) -> None:
        self.requests_minute = Window(MINUTE)
        self.requests_hour = Window(HOUR)
        self.bytes_hour = Window(HOUR)
        self.concurrent = 0

    def counted(self, now: int) -> Counted:
        """All of it."""
        return Counted(
            requests_minute=self.requests_minute.total(now),
            requests_hour=self.requests_hour.total(now),
            concurrent=self.concurrent,
            bytes_hour=self.bytes_hour.total(now),
        )

    def idle(self, now: int) -> bool:
        """Whether a new one says the same."""
        lately = self.requests_hour.total(now) or self.bytes_hour.total(now) or self.requests_minute.total(now)
        return not self.concurrent and not lately

    def like(self) -> "Tally":
        """A new one that knows what this one knows of the past."""
        other = Tally()
        other.requests_minute = self.requests_minute.like()
        other.requests_hour = self.requests_hour.like()
        other.bytes_hour = self.bytes_hour.like()
        return other


class Tallies:
    """The tallies of one kind by name, at most ``most`` of them.

    One is only dropped once a new one would say the same. Where all are in use, names that are new share one, and a
    name that gets its own later takes the shared counts along: nobody loses counts by bringing in other names.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.shared = Tally()
        self._own: OrderedDict[str, Tally] = OrderedDict()
        self._sharing: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._own)

    def of(self, name: str, now: int) -> Tally:
        """The tally that calls of ``name`` are counted on from now."""
        known = self._own.get(name)
        if known is not None:
            self._own.move_to_end(name)
            return known
        if name in self._sharing or not self._room(now):
            return self.shared
        found = self._own[name] = Tally() if self.shared.idle(now) else self.shared.like()
        return found

    def find(self, name: str) -> Tally | None:
        """The tally that ``name`` has to itself."""
        return self._own.get(name)

    def names(self) -> tuple[str, ...]:
        """Whoever has one, the least lately counted first."""
        return tuple(self._own)

    def begin(self, name: str, tally: Tally) -> None:
        """One call more runs on ``tally``, which ``of`` gave for ``name``."""
        tally.concurrent += 1
        if tally is self.shared:
            self._sharing[name] += 1

    def end(self, name: str, tally: Tally) -> None:
        """A call that began has ended."""
        tally.concurrent -= 1
        if tally is self.shared:
            self._sharing[name] -= 1
            if not self._sharing[name]:
                del self._sharing[name]

    def _room(self, now: int) -> bool:
        for _ in range(_LOOKED_AT):
            if len(self._own) < self.most:
                return True
            name, oldest = next(iter(self._own.items()))
            if oldest.idle(now):
                del self._own[name]
            elif oldest.concurrent:
                self._own.move_to_end(name)
            else:
                return False
        return len(self._own) < self.most
