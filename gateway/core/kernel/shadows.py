"""Shadow agents as a node's loader tells them: processes in agents' cgroups that nobody registered.

A loader's word is a stranger's: it is bounded, and names no agent. Decides the record of one; what is quarantined is
the loader's own settings' to say.
"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.audit.build import TEXT_CHARS
from gateway.core.audit.record import KernelRecord
from gateway.core.model import Uid
from gateway.core.reasons import Reason

QUARANTINE = "quarantine"
CGROUP = "Cgroup"
MOST_PROGRAMS = 16
_Text = Annotated[str, Meta(max_length=4096)]


class Shadow(Struct, frozen=True, kw_only=True):
    """One cgroup with such processes."""

    cgroup: _Text
    programs: Annotated[tuple[_Text, ...], Meta(max_length=MOST_PROGRAMS)] = ()
    """Paths of executables; some of them where there are many."""
    processes: Annotated[int, Meta(ge=0, le=2**31)] = 0
    first_seen: Annotated[float, Meta(ge=0, le=2**40)] = 0
    """Unix seconds."""
    quarantined: bool = False
    detail: Annotated[str, Meta(max_length=1024)] = ""
    """Why it could not be quarantined."""


class ShadowAgent(Struct, frozen=True, kw_only=True):
    """A shadow agent of one node. Times in Unix milliseconds."""

    node: str
    cgroup: str
    programs: tuple[str, ...]
    processes: int
    first_seen: int
    asked_at: int
    """When the node's loader said so."""
    quarantined: bool
    """Whether its kernel denies it what the class ``quarantine`` isn't permitted."""
    detail: str
    """Why it is not quarantined though it should be; empty: it is, or the node doesn't ask for it."""


def shadow_agents(node: str, shadows: Iterable[Shadow], asked_at: int) -> tuple[ShadowAgent, ...]:
    """Those that the loader of ``node`` named at ``asked_at`` (milliseconds), first seen first."""
    found = (
        ShadowAgent(
            node=node,
            cgroup=each.cgroup[:TEXT_CHARS],
            programs=each.programs,
            processes=each.processes,
            first_seen=round(each.first_seen * 1000),
            asked_at=asked_at,
            quarantined=each.quarantined,
            detail=each.detail,
        )
        for each in shadows
    )
    return tuple(sorted(found, key=lambda each: (each.first_seen, each.cgroup)))


def shadow_record(shadow: Shadow, node: str, at: int, id_: str) -> KernelRecord:
    """The record of one: denied where it is quarantined, else what would be. ``at`` in milliseconds."""
    programs = ", ".join(shadow.programs)
    failure = f"; not quarantined: {shadow.detail}" if shadow.detail else ""
    return KernelRecord(
        id=id_,
        hop=id_,
        at=at,
        verdict="deny" if shadow.quarantined else "would_deny",
        reason=Reason.KERNEL_SHADOW,
        node=node,
        agent_class=QUARANTINE if shadow.quarantined else "",
        action="",
        resource=Uid(CGROUP, shadow.cgroup[:TEXT_CHARS]),
        detail=f"{shadow.processes} processes of {programs}{failure}"[:TEXT_CHARS],
    )
