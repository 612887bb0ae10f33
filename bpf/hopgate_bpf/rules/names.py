"""Which addresses a host name stands for at a moment: the last answer, and for a while what earlier answers said.

A connection that was permitted by name must not break because a name server rotates its answers, so an address that
left the answer is kept for a grace period. Where a lookup fails, what is known is kept as long; after that the name
is unknown, which ``rules.destinations`` takes as nothing for permits and as everything for forbids. Asks nobody:
answers and the time are passed in. Times are seconds of a monotonic clock.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

Address = IPv4Address | IPv6Address

MAX_ADDRESSES = 256
"""Of one name, those in grace included. More: the name counts as unknown."""


class NameTimes(Struct, frozen=True):
    """How long answers count. An answer's own TTL is kept to between ``floor`` and ``ceiling``."""

    floor: float = 5.0
    ceiling: float = 300.0
    grace: float = 600.0
    retry: float = 5.0
    """Until the next lookup after a failed one."""


class Answer(Struct, frozen=True):
    """What a lookup said. No addresses: the name server says that there are none. ``ttl``: seconds."""

    addresses: frozenset[Address]
    ttl: float


class LookupFailed(Struct, frozen=True):
    """The lookup gave no answer, for ``cause``: a time-out, no server, a refusal."""

    cause: str


class KnownName(Struct, frozen=True):
    """What is known of one name. ``seen``: address → when an answer last held it. ``due``: the next lookup."""

    seen: Mapping[Address, float]
    current: frozenset[Address]
    due: float
    good_until: float | None = None
    """When the last answer stops to count by itself; None: there was none."""
    failure: str = ""
    """Why the last lookup failed; empty where it succeeded."""

    def usable(self, now: float, times: NameTimes) -> frozenset[Address] | None:
        """The addresses that the name stands for; None where that isn't known."""
        if self.good_until is None or (self.failure and now - self.good_until > times.grace):
            return None
        kept = self.current | {address for address, at in self.seen.items() if now - at <= times.grace}
        return kept if len(kept) <= MAX_ADDRESSES else None


def learned(known: KnownName | None, said: Answer | LookupFailed, now: float, times: NameTimes) -> KnownName:
    """What is known after a lookup that ended at ``now``."""
    before = known or KnownName({}, frozenset(), now)
    if isinstance(said, LookupFailed):
        return KnownName(before.seen, before.current, now + times.retry, before.good_until, said.cause)
    # An address of the answer before this one was true until now, not only until that answer came.
    seen = {address: at for address, at in before.seen.items() if now - at <= times.grace}
    seen |= dict.fromkeys(before.current, now) | dict.fromkeys(said.addresses, now)
    due = now + min(max(said.ttl, times.floor), times.ceiling)
    return KnownName(seen, said.addresses, due, due)


def next_change(known: Mapping[str, KnownName], times: NameTimes, now: float) -> float | None:
    """When the next lookup is due or the next address is out of grace, whichever is first; None: never."""
    moments = [name.due for name in known.values()]
    for name in known.values():
        moments += [at + times.grace for address, at in name.seen.items() if address not in name.current]
        if name.failure and name.good_until is not None:
            moments.append(name.good_until + times.grace)
    later = [moment for moment in moments if moment > now]
    overdue = any(name.due <= now for name in known.values())
    return now if overdue else min(later, default=None)
