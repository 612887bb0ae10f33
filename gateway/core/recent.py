"""A bounded memory of what was computed: exact keys, oldest out first. Doesn't know time; its owner does."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The last ``most`` values, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value, or None where there is none (any more)."""
        return self._values.get(key)

    def values(self) -> tuple[V, ...]:
        """All that is remembered now."""
        return tuple(self._values.values())

    def put(self, key: K, value: V) -> None:
        """Remember ``value``; the oldest one makes room for a new key."""
        if key not in self._values and len(self._values) >= self._most:
            del self._values[next(iter(self._values))]
        self._values[key] = value
