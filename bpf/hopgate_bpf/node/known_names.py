"""The host names of the rules in force, and what lookups said of them.

Asks for those that are due, a few at once. What an answer means is ``rules.names``'s.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from hopgate_bpf.node.resolver import Resolver
from hopgate_bpf.rules.destinations import Names
from hopgate_bpf.rules.names import KnownName, LookupFailed, NameTimes, learned, next_change

AT_ONCE = 32
MOST_SECONDS = 20.0
"""Of all lookups of one round; names that weren't reached count as failed until the next."""
Clock = Callable[[], float]


class NameStanding(Struct, frozen=True):
    """One name for people. ``state``: ``current``, ``stale`` (lookups fail, in grace) or ``unknown``."""

    state: str
    addresses: tuple[str, ...]
    in_grace: int
    """Addresses that the last answer doesn't hold any more."""
    seconds_to_lookup: int
    failure: str


class KnownNames:
    """What is known of names; ``standing`` is the same for people."""

    def __init__(self, resolver: Resolver, times: NameTimes, clock: Clock) -> None:
        self._resolver = resolver
        self._times = times
        self._clock = clock
        self._known: dict[str, KnownName] = {}

    async def look_up(self, hosts: Iterable[str]) -> None:
        """Ask for those of ``hosts`` that are due; the others are known."""
        now = self._clock()
        due = [host for host in sorted(hosts) if host not in self._known or self._known[host].due <= now]
        gate, until = asyncio.Semaphore(AT_ONCE), now + MOST_SECONDS
        async with asyncio.TaskGroup() as group:
            for host in due:
                group.create_task(self._ask(host, gate, until))

    async def _ask(self, host: str, gate: asyncio.Semaphore, until: float) -> None:
        async with gate:
            in_time = self._clock() < until
            said = await self._resolver.lookup(host) if in_time else LookupFailed("not reached in time")
        self._known[host] = learned(self._known.get(host), said, self._clock(), self._times)

    def keep_only(self, hosts: Iterable[str]) -> None:
        """Forget all other names."""
        kept = set(hosts)
        self._known = {host: known for host, known in self._known.items() if host in kept}

    def addresses(self, hosts: Iterable[str]) -> Names:
        """What each of ``hosts`` stands for now."""
        now = self._clock()
        return {host: self._known[host].usable(now, self._times) for host in hosts if host in self._known}

    def seconds_to_change(self) -> float | None:
        """Until something of what is known is over; None: never."""
        now = self._clock()
        moment = next_change(self._known, self._times, now)
        return None if moment is None else max(0.0, moment - now)

    def standing(self) -> Mapping[str, NameStanding]:
        """Every name."""
        now = self._clock()
        return {host: _standing(known, now, self._times) for host, known in sorted(self._known.items())}


def _standing(known: KnownName, now: float, times: NameTimes) -> NameStanding:
    usable = known.usable(now, times)
    state = "unknown" if usable is None else "stale" if known.failure else "current"
    addresses = tuple(sorted(str(each) for each in usable or ()))
    in_grace = len((usable or frozenset()) - known.current)
    return NameStanding(state, addresses, in_grace, max(0, round(known.due - now)), known.failure)
