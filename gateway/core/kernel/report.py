"""What became of each policy in the kernel's rules, clause by clause: what compiles, what stays behind, and why."""

from typing import Literal

from msgspec import Struct

from gateway.core.model import Effect

Outcome = Literal["compiled", "narrowed", "dropped", "widened", "unused"]
"""``narrowed`` and ``dropped``: a permit that permits less, or nothing. ``widened``: a forbid that forbids more.
``unused``: it is about no registered class."""


class Stays(Struct, frozen=True, order=True):
    """A clause that doesn't reach the kernel. ``action`` and ``classes``: where."""

    policy: str
    file: str
    line: int
    clause: str
    reason: str
    effect: str
    """What comes of it, before the action's name: ``forbids all``."""
    action: str
    classes: tuple[str, ...]


class PolicyReport(Struct, frozen=True):
    """One policy, over all classes."""

    id: str
    tier: str
    file: str
    line: int
    effect: Effect
    outcome: Outcome
    classes: tuple[str, ...]
    """Those that it is about."""


class ClassReport(Struct, frozen=True):
    """One class. ``complete``: actions that the kernel permits exactly where Cedar does."""

    name: str
    agents: tuple[str, ...]
    audit: bool
    hide: bool
    states: int
    byte_classes: int
    anchors: int
    network: int
    binds: int
    system_calls: int | None
    """How many are permitted; None: none is filtered."""
    spawn: bool
    complete: tuple[str, ...]
    incomplete: tuple[str, ...]


class Lint(Struct, frozen=True, order=True):
    """Something to mend, though it compiles. ``line`` 0: it is about a class, and ``policy`` the first that matters."""

    file: str
    line: int
    policy: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.policy}: {self.message}"


class Report(Struct, frozen=True):
    """All that there is to say of one compilation."""

    classes: tuple[ClassReport, ...]
    policies: tuple[PolicyReport, ...]
    stays: tuple[Stays, ...]
    lints: tuple[Lint, ...]
    refused: tuple[str, ...] = ()
    """Classes without rules, and why: they are denied everything."""
