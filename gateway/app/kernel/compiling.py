"""Rules of the snapshot in force, compiled once for all nodes and off the request path.

A snapshot that doesn't compile leaves every node with the rules that it has. What compiles is ``core.kernel``'s.
"""

import asyncio
import hashlib
from collections.abc import Callable

import msgspec
from msgspec import Struct

from gateway.core.kernel.generation import rules_of
from gateway.core.kernel.report import Report
from gateway.core.kernel.rules import KernelRules, written
from gateway.core.snapshot import Snapshot

NO_NODE = "*"


class NotCompiledError(Exception):
    """A snapshot's rules could not be compiled at all."""


class Compiled(Struct, frozen=True):
    """The rules of one snapshot, for any node, and the report on them."""

    snapshot: Snapshot
    rules: KernelRules
    report: Report

    def document(self, node: str, generation: int) -> bytes:
        """The document of one node."""
        return written(msgspec.structs.replace(self.rules, node=node, generation=generation))


class Compiling:
    """The compilation of what is in force."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        self._last: Compiled | None = None
        self._lock = asyncio.Lock()

    @property
    def last(self) -> Compiled | None:
        """What was compiled last; None before the first."""
        return self._last

    def is_of(self, compiled: Compiled) -> bool:
        """Whether ``compiled`` is of the snapshot in force."""
        return compiled.snapshot is self._snapshot()

    async def current(self) -> Compiled:
        """The rules of the snapshot in force.

        Raises:
            NotCompiledError: nodes keep what they have.
        """
        async with self._lock:
            snapshot = self._snapshot()
            if self._last is None or self._last.snapshot is not snapshot:
                self._last = await asyncio.to_thread(_compiled, snapshot)
            return self._last


def content_of(compiled: Compiled, node: str) -> str:
    """A digest of all of a node's document but its generation."""
    return hashlib.sha256(compiled.document(node, 1)).hexdigest()


def _compiled(snapshot: Snapshot) -> Compiled:
    try:
        found = rules_of(snapshot, NO_NODE)
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        # A mistake of ours must not take the proxy down: every node keeps its rules, and it is told as drift.
        raise NotCompiledError(f"{type(error).__name__}: {error}"[:300]) from error
    return Compiled(snapshot, found.rules, found.report)
