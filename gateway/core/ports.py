"""Protocols that sibling packages share: who fulfils them is wired in ``app``."""

from collections.abc import Collection, Mapping
from typing import Protocol

from msgspec import Struct

from gateway.core.audit import Record
from gateway.core.pins import Definition, Pin


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


class KeptBundle(Struct, frozen=True):
    """The bundle document of another trust domain, and when it was fetched (Unix seconds)."""

    document: bytes
    fetched: int


class TrustBundles(Protocol):
    """Trust bundles that outlive a process: what was fetched last, and how often the own one has changed."""

    async def kept(self, trust_domain: str) -> KeptBundle | None:
        """The document that was kept last, by any process.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def keep(self, trust_domain: str, kept: KeptBundle, sequence: int) -> None:
        """Keep a document, unless one of a higher ``sequence`` is there.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def sequence(self, trust_domain: str, digest: str, now: int) -> int:
        """The own bundle's sequence with the roots of ``digest``; a new one, and higher, where they are new.

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
    """Who created an A2A task; others see "not found"."""

    async def claim(self, route: str, task_id: str, owner: str, expires: int) -> bool:
        """Whether ``owner`` owns the task after an atomic insert-if-absent.

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

    async def append(self, record: Record) -> None:
        """Commit one record.

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
