"""Protocols of what outlives a process beside the hops: signing keys, trust bundles, third parties' tokens.

Secrets among it are sealed before they get here. Who fulfils them is wired in ``app``.
"""

from collections.abc import Collection
from typing import Protocol

from msgspec import Struct

from gateway.core.key_schedule import SealedKey


class KeptGrant(Struct, frozen=True):
    """A user's sealed tokens of one server, and how often they were changed."""

    sealed: str
    version: int


class UpstreamTokens(Protocol):
    """What users let the gateway hold: one sealed value for a user and a server, shared by all processes."""

    async def read(self, sub: str, server: str) -> KeptGrant | None:
        """What is kept now.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def keep(self, sub: str, server: str, sealed: str, now: int) -> None:
        """Keep ``sealed`` whatever was kept before: the user has consented anew.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def claim(self, sub: str, server: str, version: int, now: int, until: int) -> bool:
        """Whether the caller alone may renew ``version`` until then; false where another does, or it changed.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def replace(self, sub: str, server: str, version: int, sealed: str, now: int) -> bool:
        """Whether ``version`` was still the kept one, and is replaced; ends the claim.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def release(self, sub: str, server: str, version: int) -> None:
        """Give the claim on ``version`` back with nothing changed.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def forget(self, sub: str, server: str, version: int | None = None) -> bool:
        """Whether something was deleted: ``version``, or whatever is kept.

        Raises:
            StoreError: the store can't be asked.
        """
        ...


class SealedKeys(Protocol):
    """The gateway's generated signing keys, sealed with a key that isn't in the store. All replicas see the same."""

    async def all(self) -> tuple[SealedKey, ...]:
        """Every key, oldest first.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def add(self, key: SealedKey) -> bool:
        """Whether ``key`` is the one that took its number: one atomic insert, the first one wins.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def begin_anew(self, key: SealedKey) -> bool:
        """``add``, and in the same transaction distrust every other key and forget its halves.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def reseal(self, number: int, before: str, after: str) -> None:
        """Replace what is sealed, unless another replica did already.

        Raises:
            StoreError: the store can't be asked.
        """
        ...

    async def forget(self, numbers: Collection[int]) -> None:
        """Delete keys.

        Raises:
            StoreError: the store can't be asked.
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
