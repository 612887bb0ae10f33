"""What the admin API asks about the kernel half. Who fulfils it is wired in ``app``; decides nothing."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from gateway.core.kernel.report import Lint, Stays
from gateway.core.kernel.shadows import ShadowAgent
from gateway.core.kernel.standing import Drift


class NodeStanding(Struct, frozen=True, kw_only=True):
    """One node: what it should enforce, what its loader says, and how the two differ. 0: nothing yet."""

    node: str
    wanted: int
    """Generation of the rules that it should have."""
    generation: int
    """Generation that its loader has accepted, as it said last."""
    asked_at: int
    """Unix milliseconds of its last answer."""
    drift: tuple[Drift, ...]
    """Empty: all rules are enforced."""
    cgroups: Mapping[str, tuple[str, ...]]
    """Class → its registered cgroups."""


class KernelStanding(Struct, frozen=True, kw_only=True):
    """All nodes, and what of the policies doesn't reach any kernel."""

    nodes: tuple[NodeStanding, ...]
    digest: str
    """Of the policies that were compiled last; empty: none were yet."""
    classes: tuple[str, ...]
    """Those with rules."""
    refused: tuple[str, ...]
    """Classes without rules, and why: they are denied everything."""
    stays: tuple[Stays, ...]
    """Clauses that stay behind."""
    lints: tuple[Lint, ...]


class ShadowStanding(Struct, frozen=True, kw_only=True):
    """Shadow agents of all nodes."""

    agents: tuple[ShadowAgent, ...]
    unlisted: Mapping[str, int]
    """Node → how many more it has, which its loader doesn't name."""


class KernelDesk(Protocol):
    """The kernel half of one process."""

    def standing(self) -> KernelStanding:
        """How it stands now; asks nobody."""
        ...

    def shadows(self) -> ShadowStanding:
        """Shadow agents, as the loaders said last; asks nobody."""
        ...
