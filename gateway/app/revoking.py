"""Keeps the process's knowledge of revocations current, and ends what goes on without leave.

Doesn't decide what a revocation touches (``core.revocation``), or refuse requests (``proxy.revoked``).
"""

import asyncio

from gateway.app.parts import PartError
from gateway.app.telemetry import Telemetry
from gateway.core.errors import HopError, StoreError
from gateway.core.ports import Revocations
from gateway.core.reasons import Reason
from gateway.proxy.gate import Gate
from gateway.proxy.revoked import Revoked, keys_of_lease

POLL_SECONDS = 0.25


class Revoking:
    """Follows ``store`` for one process; ``revoked`` is what it knows."""

    def __init__(self, store: Revocations, telemetry: Telemetry) -> None:
        self.store = store
        self.revoked = Revoked(store)
        self._telemetry = telemetry
        self._failing = False
        self._applied = 0

    async def start(self) -> None:
        """Learn what is revoked, before anything is served.

        Raises:
            PartError: the store can't say.
        """
        try:
            await self._ask()
        except StoreError as error:
            raise PartError(f"store.url: {error.detail}") from None

    async def run(self, gate: Gate) -> None:
        """Ask several times a second, until cancelled."""
        while True:
            await self.apply(gate)
            await asyncio.sleep(POLL_SECONDS)

    async def apply(self, gate: Gate) -> None:
        """Ask once, now, and end what may not go on."""
        try:
            await self._ask()
        except StoreError as error:
            self._failed(error)
            if not self.revoked.current:
                _end(gate, HopError(Reason.REVOCATIONS_UNKNOWN, error.detail))
            return
        if self._failing:
            self._telemetry.log.info("revocations", detail="ok", epoch=self.revoked.view.epoch)
            self._failing = False
        # Whoever asked for it: a request may have.
        if self.revoked.view.epoch != self._applied:
            self._applied = self.revoked.view.epoch
            _end(gate)

    async def _ask(self) -> None:
        await self.revoked.refresh()
        self._telemetry.metrics.revocations_known(len(self.revoked.view), self.revoked.view.epoch)

    def _failed(self, error: StoreError) -> None:
        self._telemetry.metrics.revocations_failed()
        # Not each attempt: there are four a second.
        if not self._failing:
            self._telemetry.log.error("revocations", reason=error.reason, detail=error.detail)
        self._failing = True


def _end(gate: Gate, why: HopError | None = None) -> None:
    """End open streams and cut off waiting hops: all of them for ``why``, or those that are revoked."""
    registry = gate.edition().snapshot.registry
    for lease in (*gate.leases, *gate.waiting):
        refusal = why or gate.revoked.refusal(keys_of_lease(lease, registry))
        if refusal is not None:
            lease.revoke(refusal)
