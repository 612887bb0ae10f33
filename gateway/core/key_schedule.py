"""When a generated signing key is made, published, used and forgotten: the same for every replica of a store.

A function of the stored keys and the time, so that replicas agree without talking. A key is published for a lead
time before it signs, and as long after its last use as a chain may live (TOKENS §3). Doesn't hold key material:
``identity.key_ring`` does, sealed.
"""

from collections.abc import Sequence

from msgspec import Struct

SKEW_SECONDS = 60
"""Most that two replicas' clocks may differ: so long a replaced key may still sign elsewhere."""
KEPT_SECONDS = 3600 + SKEW_SECONDS
"""How long a key is published after its last use: the longest ``root_exp`` that settings allow, and the skew."""


class SealedKey(Struct, frozen=True, kw_only=True):
    """A signing key as the store keeps it. Times are Unix seconds."""

    number: int
    """Position; the next key's is one more, and only one replica can take it."""
    kid: str
    algorithm: str
    sealed: str
    """Its halves, sealed; the public one alone once it no longer signs, and nothing once it is distrusted."""
    made_at: int
    signs_from: int
    distrusted_at: int = 0
    """0: trusted."""


class Rotation(Struct, frozen=True):
    """Seconds that a key signs, and seconds that it is published before."""

    every: int
    lead: int


def trusted(keys: Sequence[SealedKey]) -> tuple[SealedKey, ...]:
    """The keys that nobody distrusted, oldest first."""
    return tuple(sorted((key for key in keys if not key.distrusted_at), key=lambda key: key.number))


def current(keys: Sequence[SealedKey], now: int) -> SealedKey | None:
    """The key that signs now; with a clock behind all of them, the oldest."""
    found = trusted(keys)
    return next((key for key in reversed(found) if key.signs_from <= now), found[0] if found else None)


def published(keys: Sequence[SealedKey], now: int) -> tuple[SealedKey, ...]:
    """The trusted keys that may have signed something that is still good, or will sign: oldest first."""
    return tuple(key for key in trusted(keys) if now < _last_use(key, keys, now) + KEPT_SECONDS)


def next_number(keys: Sequence[SealedKey]) -> int:
    """The number that a new key takes."""
    return max((key.number for key in keys), default=0) + 1


def due(keys: Sequence[SealedKey], now: int, rotation: Rotation) -> int | None:
    """From when a key that is to be made now would sign; None while there is no need of one."""
    found = trusted(keys)
    if not found:
        return now
    newest = found[-1]
    ends = newest.signs_from + rotation.every
    if now < ends - rotation.lead:
        return None
    return max(ends, now + rotation.lead)


def next_change(keys: Sequence[SealedKey], now: int, rotation: Rotation) -> int:
    """When another key than the current one is to sign."""
    found = trusted(keys)
    waiting = [key.signs_from for key in found if key.signs_from > now]
    if waiting or not found:
        return min(waiting, default=now)
    return found[-1].signs_from + rotation.every


def unused(keys: Sequence[SealedKey], now: int) -> tuple[SealedKey, ...]:
    """The trusted keys that sign nowhere any more: their private halves may go."""
    return tuple(key for key in trusted(keys) if _last_use(key, keys, now) + SKEW_SECONDS <= now)


def over(keys: Sequence[SealedKey], now: int) -> tuple[SealedKey, ...]:
    """The keys that nothing asks for any more."""
    kept = {key.number for key in published(keys, now)}
    return tuple(
        key
        for key in keys
        if key.number not in kept and (not key.distrusted_at or key.distrusted_at + KEPT_SECONDS <= now)
    )


def _last_use(key: SealedKey, keys: Sequence[SealedKey], now: int) -> int:
    """When the next trusted key took over; ``now`` where none has."""
    later = [other.signs_from for other in trusted(keys) if other.number > key.number]
    return min([*later, now])
