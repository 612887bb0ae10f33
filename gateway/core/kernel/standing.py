"""How it stands with one node's loader: what it should enforce, what it says that it does, and how the two differ.

Pure: who asks the loader, when, and what is done about a difference is ``app.kernel``'s.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

from gateway.core.kernel.shadows import Shadow

DriftKind = Literal[
    "not_compiled",
    "unreachable",
    "refused",
    "other_node",
    "other_rules",
    "superseded",
    "kernel_differs",
    "not_enforced",
    "narrowed",
    "problem",
]
"""``superseded``: another process of this store issued a later generation. ``kernel_differs``: the kernel doesn't have
what the loader accepted. ``narrowed``: less is permitted than the rules say, a host's name has no address perhaps."""
MAX_GENERATION = 2**53 - 1
MOST_SHADOWS = 1024


class Drift(Struct, frozen=True, order=True):
    """One way in which a node doesn't do what it should."""

    kind: DriftKind
    detail: str


class Wanted(Struct, frozen=True):
    """The document that a node should enforce. ``sha256``: of its bytes, lowercase hex."""

    node: str
    generation: int
    digest: str
    sha256: str


class LoaderStatus(Struct, frozen=True, kw_only=True):
    """What a loader says of itself; members that aren't needed here are passed over."""

    node: str
    generation: int
    digest: str = ""
    sha256: str = ""
    not_enforced: tuple[str, ...] = ()
    narrowed: Mapping[str, tuple[str, ...]] = {}
    cgroups: Mapping[str, tuple[str, ...]] = {}
    shadows: Annotated[tuple[Shadow, ...], Meta(max_length=MOST_SHADOWS)] = ()
    """Some of them where there are many."""
    shadows_quarantined: Annotated[int, Meta(ge=0, le=2**31)] = 0
    shadows_at_large: Annotated[int, Meta(ge=0, le=2**31)] = 0
    problem: str = ""
    agrees: bool = False
    in_kernel: Mapping[str, Any] = {}
    """The status of its own loader program."""

    @property
    def latest(self) -> int:
        """The latest generation that it shows, in the kernel or out of it."""
        found = self.in_kernel.get("generation")
        return max(self.generation, found) if isinstance(found, int) else self.generation


class Mark(Struct, frozen=True, order=True):
    """The last event of a loader that was recorded. ``time`` in Unix milliseconds; a restart begins ``seq`` anew."""

    time: int = 0
    seq: int = 0

    def covers(self, other: "Mark") -> bool:
        """Whether ``other`` was recorded already: not later, and not numbered after a restart."""
        return other.time <= self.time and other.seq <= self.seq


class KernelNodes(Protocol):
    """What must outlive the process, of each node: the generation issued last, and the event recorded last."""

    async def issue(self, node: str, content: str, above: int) -> int:
        """The generation of ``content``: the last one where it was the same and is more than ``above``, else a new one.

        ``content`` is a digest of all of the document but its generation. What is returned is durable and never falls.

        Raises:
            StoreError: the store can't be asked; nothing is pushed.
        """
        ...

    async def issued(self, node: str) -> int:
        """The last generation of the node, whichever process issued it; 0: none.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def seen(self, node: str) -> Mark:
        """The event that was recorded last.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def saw(self, node: str, mark: Mark) -> None:
        """All events up to ``mark`` are recorded.

        Raises:
            StoreError: it can't be kept; they are recorded once more after a restart.
        """
        ...


def is_in_force(wanted: Wanted, status: LoaderStatus) -> bool:
    """Whether the loader has accepted exactly the wanted document."""
    return (status.node, status.generation, status.sha256) == (wanted.node, wanted.generation, wanted.sha256)


def drift_of(wanted: Wanted, status: LoaderStatus) -> tuple[Drift, ...]:
    """Every way in which the node differs; empty where it enforces the whole wanted document."""
    found: list[Drift] = []
    if status.node != wanted.node:
        found.append(Drift("other_node", f"it calls itself {status.node[:256]!r}"))
    elif not is_in_force(wanted, status):
        found.append(Drift("other_rules", f"it has generation {status.generation}, wanted is {wanted.generation}"))
    elif not status.agrees:
        found.append(Drift("kernel_differs", "the kernel does not have what the loader accepted"))
    found += [Drift("not_enforced", text[:300]) for text in status.not_enforced]
    found += [Drift("narrowed", f"{name}: {text}"[:300]) for name, all_ in status.narrowed.items() for text in all_]
    if status.problem:
        found.append(Drift("problem", status.problem[:300]))
    return tuple(found)
