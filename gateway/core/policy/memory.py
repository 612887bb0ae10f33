"""Cedar's answers, remembered by the exact facts that they depend on; bounded, oldest out first.

A key is a digest of the slice, of principal, action and resource, and of every value that the slice's policies read
(``reads``). So it outlives generations: a registry change that a call doesn't read leaves its answer valid. Argument
values are in keys as digests only, and in answers as far as a record tells them. Knows no time, and needs none: what
reads the time is never put in.
"""

import hashlib

from msgspec import Struct

from gateway.core.model import Determining
from gateway.core.policy.evaluate import Evaluation

KEPT = 5_000
"""Answers, unless the settings say otherwise. One takes some 5 KB; ``reads.MOST_KEY_BYTES`` bounds it."""


class Answer(Struct, eq=False):
    """An evaluation, and what a record tells of the policies that determined it, once somebody asked."""

    evaluation: Evaluation
    told: tuple[Determining, ...] | None = None


class Memory:
    """The answers of one process, shared by its bundles; counts what it could and couldn't answer."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        """How many at most."""
        self._answers: dict[bytes, Answer] = {}
        self.hits = 0
        self.misses = 0
        """Answers that Cedar had to be asked for, and that were then kept."""
        self.unkept = 0
        """Questions whose answer must not be kept: they read the time, or too much, or they err."""

    def __len__(self) -> int:
        return len(self._answers)

    def keep(self, kept: int) -> None:
        """Keep this many from now on; 0 for none."""
        self.kept = kept
        while len(self._answers) > kept:
            self._drop_oldest()

    def find(self, facts: bytes | None) -> Answer | None:
        """The answer to the same facts; None where there is none (any more)."""
        known = None if facts is None else self._answers.get(_digest(facts))
        self.hits += known is not None
        return known

    def put(self, facts: bytes | None, answer: Answer) -> None:
        """Remember ``answer``, unless it has no key or is an error."""
        if facts is None or answer.evaluation.error is not None:
            self.unkept += 1
            return
        self.misses += 1
        if not self.kept:
            return
        if len(self._answers) >= self.kept:
            self._drop_oldest()
        self._answers[_digest(facts)] = answer

    def _drop_oldest(self) -> None:
        del self._answers[next(iter(self._answers))]


def _digest(facts: bytes) -> bytes:
    return hashlib.blake2b(facts, digest_size=32).digest()
