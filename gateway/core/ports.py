"""Protocols that sibling packages share: who fulfils them is wired in ``app``."""

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from gateway.core.ancestry import Participation
from gateway.core.audit import Record
from gateway.core.model import SpiffeId
from gateway.core.pins import Definition, Pin
from gateway.core.revocation import Revocation


class Binding(Struct, frozen=True):
    """The first presentation of a root token: who, and the chain it began. Times are Unix seconds."""

    agent: str
    txn: str
    root_expires: int
    token_expires: int
    """Until then the token could be presented again, so until then the binding is kept."""


class Bindings(Protocol):
    """First presenters of root tokens. One atomic insert; the first one wins for good."""

    async def bind(self, token_digest: str, proposed: Binding, now: int) -> Binding:
        """The binding in force: ``proposed`` if none was stored, else the stored one. ``now`` in Unix seconds.

        Raises:
            StoreError: the store can't be asked (STORE_UNAVAILABLE); the call is refused.
        """
        ...


class SingleUse(Protocol):
    """What may be presented once: assertions, JWT-SVIDs, pending consents. One atomic insert."""

    async def spend(self, key: str, expires: int, now: int) -> bool:
        """Whether this was the first time. ``key`` names kind and digest; times are Unix seconds.

        Raises:
            StoreError: the store can't be asked; what can't be spent isn't accepted.
        """
        ...


class LiveChains(Protocol):
    """Which agents were delegated to in chains that aren't over. Shared by all processes of a deployment."""

    async def join(self, part: Participation, now: int) -> None:
        """Remember it until its chain ends, durable when it returns; the deepest depth counts. ``now`` in Unix seconds.

        Raises:
            StoreError: the store can't be asked; the agent must not be called.
        """
        ...

    async def of(self, agent: SpiffeId, sub: str | None, now: int) -> tuple[Participation, ...]:
        """The live chains that ``agent`` works in, of ``sub`` or of anybody: a bounded number, deepest first.

        Raises:
            StoreError: the store can't be asked; the agent begins no chain.
        """
        ...


class Request(Struct, frozen=True):
    """A write that may be sent again: the same ``key`` is the same write, and ``digest`` is of what it says."""

    key: str
    digest: str


class Standing(Struct, frozen=True):
    """A revocation as it stands, and how it was lifted if it was. ``lifted_at`` in Unix milliseconds."""

    seq: int
    """Place in the order of all changes; the newer of its own and its lift's."""
    revocation: Revocation
    lifted_at: int | None = None
    lifted_by: str | None = None
    lifted_why: str | None = None

    def state(self, now: float) -> "State":
        """Whether it holds at ``now`` (Unix seconds), and why not."""
        if self.lifted_at is not None:
            return "lifted"
        return "in_force" if self.revocation.holds(now) else "expired"


State = Literal["in_force", "expired", "lifted"]


class Revocations(Protocol):
    """What was revoked and lifted, shared by all processes of a deployment. Nothing is ever removed."""

    async def append(self, revocation: Revocation, request: Request | None = None) -> Revocation | None:
        """The revocation kept under ``request``: this one, or the one that the same request made before.

        None where ``request.key`` was used for another write.

        Raises:
            StoreError: the store can't be asked; nothing was revoked.
        """
        ...

    async def lift(self, revocation: str, by: str, reason: str, at: int) -> bool:
        """Whether this ended it: False for an unknown one, and for one that was lifted before.

        Raises:
            StoreError: the store can't be asked; nothing was lifted.
        """
        ...

    async def find(self, revocation: str) -> Standing | None:
        """One revocation, in force or not.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def page(self, state: State | None, now: int, before: int | None, limit: int) -> tuple[Standing, ...]:
        """The newest, made before the one of place ``before``; with ``state`` only those. ``now`` in Unix seconds.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def epoch(self) -> tuple[int, float]:
        """The epoch, which grows with every change, whoever made it, and when it was read (``time.monotonic``).

        Doesn't wait for writers. A new store's is 0.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def in_force(self, now: int) -> tuple[int, tuple[Revocation, ...]]:
        """The epoch, and what was neither lifted nor has expired at ``now`` (Unix seconds).

        Raises:
            StoreError: the store can't be asked.
        """
        ...


class Handles(Protocol):
    """Chains that go on in a trace, by the digest of their handle. What is kept is sealed, and never changes."""

    async def keep(self, digest: str, sealed: str, expires: int, now: int) -> None:
        """Keep a new handle's facts until ``expires``; times are Unix seconds.

        Raises:
            StoreError: it can't be kept; the delegation is not forwarded.
        """
        ...

    async def find(self, digest: str, now: int) -> str | None:
        """What was kept; None for an unknown handle or one that is over.

        Raises:
            StoreError: the store can't be asked; the call is refused.
        """
        ...


class TaskOwners(Protocol):
    """Who created a task, and with what; others see "not found"."""

    async def claim(self, route: str, task_id: str, owner: str, expires: int, origin: str = "") -> bool:
        """Whether ``owner`` owns the task, made with ``origin``, after an atomic insert-if-absent.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def owner(self, route: str, task_id: str) -> str | None:
        """The owner, or None for an unknown task.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def owned(self, route: str, task_ids: Collection[str], owner: str) -> frozenset[str]:
        """Those of ``task_ids`` that ``owner`` owns.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def origins(self, route: str, task_ids: Collection[str], owner: str) -> Mapping[str, str]:
        """Those of ``task_ids`` that ``owner`` owns, with what each was made with.

        Raises:
            StoreError: the store can't be asked.
        """
        ...


class ToolPins(Protocol):
    """Approved definitions of tools, and those that wait for approval. Shared by all processes of a deployment."""

    async def of(self, server: str) -> Mapping[str, Pin]:
        """What is known of the server's tools, by name; another process's change may show a second later.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def keep_first(self, server: str, tool: str, definition: Definition) -> None:
        """Approve the tool's first definition; where one is approved already, nothing changes.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def approve(self, server: str, tool: str, definition: Definition) -> None:
        """Make it the approved definition; none waits any more.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def report(self, server: str, tool: str, definition: Definition) -> bool:
        """Remember a definition that isn't the approved one. Whether it is news: it wasn't waiting already.

        Raises:
            StoreError: the store can't be asked.
        """
        ...


class AuditLog(Protocol):
    """The append-only record. ``append`` returns only when the record is durable."""

    async def append(self, record: Record, *first: Record) -> None:
        """Commit ``record``, after what stands ``first``; a caller that leaves takes none of them back.

        Raises:
            StoreError: it could not be made durable (AUDIT_UNAVAILABLE); nothing may be forwarded.
        """
        ...


class Sealer(Protocol):
    """AEAD over short values: session handles and the like. Keys live in ``identity``."""

    def seal(self, plaintext: bytes, context: bytes) -> str:
        """URL-safe text that only this deployment opens, and only with the same ``context``."""
        ...

    def open(self, sealed: str, context: bytes) -> bytes | None:
        """The plaintext, or None for anything forged, altered or bound to another context."""
        ...
