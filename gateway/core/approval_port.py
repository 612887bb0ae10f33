"""The store of approvals as the data path and the admin API see it. Fulfilled by ``store``, passed in by ``app``."""

from collections.abc import Collection
from typing import Protocol

from msgspec import Struct

from gateway.core.approval import Approval, State


class KeptApproval(Struct, frozen=True):
    """An approval, and the sealed arguments as long as it is open."""

    approval: Approval
    sealed: str | None
    place: int
    """In the order in which they were asked for."""


class Approvals(Protocol):
    """Approvals, shared by all processes of a deployment. For one binding, one is open at a time."""

    async def ask(self, approval: Approval, sealed: str, most: int) -> KeptApproval | None:
        """The open approval of the binding: this one, or one that was there. None: the asker has ``most`` already.

        Raises:
            StoreError: the store can't be asked; nobody is.
        """
        ...

    async def newest(self, binding: str) -> KeptApproval | None:
        """The newest one of a binding, open or not; as it was stored, whatever time has ended since.

        Raises:
            StoreError: the store can't be asked; the call is refused.
        """
        ...

    async def find(self, name: str) -> KeptApproval | None:
        """One approval by its id.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def replace(self, before: Approval, after: Approval) -> bool:
        """Whether ``before`` is what was stored, and ``after`` is now; durable when it returns.

        Where ``after`` is closed, its arguments are erased.

        Raises:
            StoreError: the store can't be asked; nothing changed.
        """
        ...

    async def page(self, states: Collection[State], before: int | None, limit: int) -> tuple[KeptApproval, ...]:
        """The newest of those states, asked for before the one of place ``before``.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def lapsed(self, now: int, limit: int) -> tuple[Approval, ...]:
        """Open ones that time has ended at ``now`` (Unix seconds).

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def forget(self, before: int) -> int:
        """How many closed ones were deleted that had ended before then (Unix milliseconds).

        Raises:
            StoreError: the store can't be asked.
        """
        ...
