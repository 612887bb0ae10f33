"""What this process knows to be revoked, and whether it knows it well enough to let anything pass.

Knowledge is current for ``CURRENT_SECONDS`` after the store was asked; then everything is refused until it
answers again. Doesn't decide when to ask, or end streams (``app.revoking``).
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from gateway.core.errors import HopError, StoreError, TokenError
from gateway.core.model import Chain, Presented, Route, Uid
from gateway.core.ports import Revocations
from gateway.core.reasons import Reason
from gateway.core.registry import Agent, Registry
from gateway.core.revocation import EMPTY, Key, View, keys_of_agent, keys_of_chain, keys_of_presented, view
from gateway.proxy.lease import Lease

CURRENT_SECONDS = 1.0
"""How old knowledge may be. A revocation made elsewhere is in force here by then, or nothing passes."""
ASK_SECONDS = 3.0
"""How long the store may take to answer, and a request to wait for it."""
AGAIN_SECONDS = 0.2
"""After a failure, how long requests don't ask again themselves."""


class Revoked:
    """The current view. ``clock`` gives Unix seconds, ``monotonic`` seconds that only grow."""

    def __init__(
        self,
        store: Revocations,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._asked = self._failed = float("-inf")
        self._failure = ""
        self.view: View = EMPTY

    @property
    def current(self) -> bool:
        """Whether the view is known to hold all that was revoked until a second ago."""
        return self._monotonic() - self._asked <= CURRENT_SECONDS

    async def refresh(self) -> None:
        """Ask the store; of those who wait at once, one asks for all.

        Raises:
            StoreError: it can't be asked, or takes too long. The view stays, and grows old.
        """
        called = self._monotonic()
        async with self._asking:
            if self._asked >= called:
                return
            if self._failed >= called:
                raise StoreError(Reason.STORE_UNAVAILABLE, self._failure)
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await self._ask()
            except TimeoutError:
                self._fail(f"the state store did not answer within {ASK_SECONDS:g} s")
                raise StoreError(Reason.STORE_UNAVAILABLE, self._failure) from None
            except StoreError as error:
                self._fail(error.detail)
                raise

    async def check(self, keys: Iterable[Key], *, halted: bool = True) -> None:
        """Whether nothing that ``keys`` name is revoked; without ``halted``, the kill switch is passed over.

        Waits for the store where what is known is too old, as after a pause of the whole process.

        Raises:
            TokenError: TOKEN_REVOKED.
            HopError: REVOKED, or REVOCATIONS_UNKNOWN.
        """
        until = self._monotonic() + ASK_SECONDS
        while not self.current:
            if self._monotonic() - self._failed < AGAIN_SECONDS or self._monotonic() > until:
                raise HopError(Reason.REVOCATIONS_UNKNOWN, self._failure)
            try:
                await self.refresh()
            except StoreError as error:
                raise HopError(Reason.REVOCATIONS_UNKNOWN, error.detail) from None
        why = self.refusal(keys, halted=halted)
        if why is not None:
            raise why

    def refusal(self, keys: Iterable[Key], *, halted: bool = True) -> HopError | None:
        """Why something that ``keys`` name is refused, by the view as it is, however old."""
        found = self.view.touching(keys, self._clock(), halted=halted)
        if found is None:
            return None
        # Whom or what it names is for operators: the caller may be another one of the chain.
        detail = f"revocation {found.id} is in force"
        kind = found.target.key[0]
        return TokenError(Reason.TOKEN_REVOKED, detail) if kind == "token" else HopError(Reason.REVOKED, detail)

    async def _ask(self) -> None:
        epoch, at = await self._store.epoch()
        if epoch != self.view.epoch:
            known, found = await self._store.in_force(int(self._clock()))
            self.view = view(known, found)
        self._asked = at

    def _fail(self, detail: str) -> None:
        self._failed, self._failure = self._monotonic(), detail


def keys_before(presented: Presented, agent: Agent | None, route: Route, registry: Registry) -> Iterable[Key]:
    """What is known before a chain is begun or continued: the caller, whom it calls, and what it presents."""
    if agent is not None:
        yield from keys_of_agent(agent)
    called = registry.agents.get(route.name) if route.protocol == "a2a" else None
    if called is not None:
        yield from keys_of_agent(called)
    yield from keys_of_presented(presented, registry)


def keys_after(chain: Chain, presented: Presented, route: Route, registry: Registry) -> Iterable[Key]:
    """All that a hop can be revoked by, once its chain is known."""
    yield from keys_of_chain(chain, registry)
    yield from keys_before(presented, None, route, registry)


def keys_of_lease(lease: Lease, registry: Registry) -> Iterable[Key]:
    """What a hop that goes on can be revoked by, as its agents are registered now."""
    return keys_after(lease.hop.chain, lease.presented, lease.hop.route, registry)


def keys_of_receiver(receiver: Uid, registry: Registry) -> Iterable[Key]:
    """What the agent that is notified can be revoked by; a person's chain is revoked by its ``sub``."""
    agent = registry.agents.get(receiver.id) if receiver.type == "Agent" else None
    return () if agent is None else keys_of_agent(agent)
