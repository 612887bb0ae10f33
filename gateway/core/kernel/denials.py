"""From an event of a node's loader to its record: who was denied what, by which policy.

An event is a stranger's word: it is bounded, read strictly, and says nothing that the registry doesn't confirm. Which
agent it was is known where the class has one; the kernel doesn't tell agents of one class apart. Doesn't store.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.core.audit.build import TEXT_CHARS
from gateway.core.audit.record import KernelRecord, Workload
from gateway.core.kernel.actions import RESOURCE_OF
from gateway.core.kernel.shadows import Shadow
from gateway.core.kernel.standing import Mark
from gateway.core.model import Uid
from gateway.core.reasons import Reason
from gateway.core.registry import Registry

_Short = Annotated[str, Meta(max_length=256)]
_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Event(Struct, frozen=True, kw_only=True):
    """One line of ``/v1/events``; members that aren't needed are passed over."""

    seq: Annotated[int, Meta(ge=1, le=2**53)]
    time: Annotated[float, Meta(ge=0, le=2**40)]
    """Unix seconds of its arrival at the loader."""
    verdict: Literal["denied", "would_deny"] | None = None
    """None: it is about the loader itself."""
    event: _Short = ""
    detail: str = ""
    class_: Annotated[str, Meta(max_length=64)] = msgspec.field(name="class", default="")
    generation: _Number = 0
    policy_id: str | None = None
    hook: _Short = ""
    reason: _Short = ""
    process: _Number = 0
    user: _Number = 0
    command: _Short = ""
    actions: tuple[_Short, ...] = ()
    path: str | None = None
    address: Annotated[str, Meta(max_length=64)] | None = None
    port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    protocol: _Short | None = None
    shadow: Shadow | None = None
    """With ``event`` ``shadow``: processes that nobody registered."""

    @property
    def mark(self) -> Mark:
        """Its place among the node's events."""
        return Mark(round(self.time * 1000), self.seq)


_DECODER = msgspec.json.Decoder(Event)


def read_event(line: bytes) -> Event | None:
    """The event of ``line``; None where it isn't one."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def denial_record(event: Event, node: str, registry: Registry, id_: str) -> KernelRecord:
    """The record of a denial."""
    action = _action(event)
    would = event.verdict == "would_deny"
    return KernelRecord(
        id=id_,
        hop=id_,
        at=event.mark.time,
        verdict="would_deny" if would else "deny",
        reason=Reason.KERNEL_WOULD_DENY if would else Reason.KERNEL_DENIED,
        node=node,
        agent_class=event.class_,
        agent=agent_of(event.class_, registry),
        action=action,
        resource=_resource(event, action),
        policies=() if event.policy_id is None else (event.policy_id[:TEXT_CHARS],),
        generation=event.generation,
        detail=f"{event.reason} at {event.hook}: {event.command} (process {event.process}, user {event.user})",
    )


def left_out_record(
    node: str, agent_class: str, registry: Registry, count: int, why: str, at: int, id_: str
) -> KernelRecord:
    """The record that stands for ``count`` denials of a class which have none of their own. ``at`` in milliseconds."""
    return KernelRecord(
        id=id_,
        hop=id_,
        at=at,
        verdict="deny",
        reason=Reason.KERNEL_EVENTS,
        node=node,
        agent_class=agent_class,
        agent=agent_of(agent_class, registry),
        action="",
        detail=why[:TEXT_CHARS],
        left_out=count,
    )


def agent_of(agent_class: str, registry: Registry) -> Workload | None:
    """The one agent that is registered for the class; None where there are none, or several."""
    found = [agent for agent in registry.agents.values() if agent_class in agent.classes]
    if len(found) != 1:
        return None
    [agent] = found
    person = registry.people.get(agent.owner)
    return Workload(
        spiffe_id=agent.spiffe_id,
        x5t="",
        name=agent.name,
        owner=agent.owner,
        owner_name=None if person is None else person.name,
        team=agent.team,
    )


def _action(event: Event) -> str:
    """The action of the machine that was asked for, as policies name it; the hook's name where it is none of them."""
    for action in event.actions:
        if action in RESOURCE_OF:
            return action
    if event.address is not None:
        return "bindNetwork" if event.hook.startswith(("bind", "socket_bind", "socket_listen")) else "connectNetwork"
    return event.hook


def _resource(event: Event, action: str) -> Uid | None:
    kind = RESOURCE_OF.get(action)
    if event.address is not None:
        protocol = f"/{event.protocol}" if event.protocol else ""
        host = f"[{event.address}]" if ":" in event.address else event.address
        return Uid("NetworkDestination", f"{host}:{event.port or 0}{protocol}")
    if event.path is not None and kind is not None:
        return Uid(kind, event.path[:TEXT_CHARS])
    return None
