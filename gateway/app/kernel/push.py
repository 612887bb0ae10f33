"""Keeps one node's loader at the rules of the snapshot in force: pushed on every change, acknowledged, tried again.

A failure stops no traffic of the proxy: it is drift, which metric, log, ``/readyz`` and admin API show. What differs is
``core.kernel.standing``'s to say. A generation is durable before it is sent, so that none is ever used twice.
"""

import asyncio
import hashlib
import random
import time

from gateway.app.kernel.compiling import Compiled, Compiling, NotCompiledError, content_of
from gateway.app.kernel.loader_client import Acknowledged, LoaderError
from gateway.app.kernel.node import Node
from gateway.config.kernel_settings import KernelSettings
from gateway.core.errors import StoreError
from gateway.core.kernel.standing import (
    MAX_GENERATION,
    Drift,
    LoaderStatus,
    Wanted,
    drift_of,
    is_in_force,
)
from gateway.identity.kernel_signer import KernelSigner

CHANGE_SECONDS = 0.2
"""How often it is looked whether another snapshot is in force."""
FIRST_RETRY_SECONDS = 0.5
JITTER = 0.25
"""Part of a wait by which it is shortened at random, so that nodes aren't asked together."""
_PUSHED_AGAIN = ("other_rules", "kernel_differs")
_AGAIN = ("generation_old", "generation_conflict")
"""The loader has a generation that this store didn't issue, or issued for other rules."""


class Pusher:
    """One node. ``run`` beside everything else."""

    def __init__(self, node: Node, compiling: Compiling, signer: KernelSigner, settings: KernelSettings) -> None:
        self.node = node.name
        self.wanted: Wanted | None = None
        self.status: LoaderStatus | None = None
        """What it said last."""
        self.drift: tuple[Drift, ...] = (Drift("unreachable", "not asked yet"),)
        self.asked_at = 0.0
        """Unix seconds of the last answer; 0: none yet."""
        self._client = node.loader
        self._nodes = node.kept
        self._telemetry = node.telemetry
        self._clock = node.clock
        self._compiling = compiling
        self._signer = signer
        self._settings = settings
        self._compiled: Compiled | None = None
        self._failures = 0
        self._said: frozenset[Drift] | None = None

    async def run(self) -> None:
        """Push and look until cancelled."""
        while True:
            await self.step()
            await self._wait()

    async def step(self) -> tuple[Drift, ...]:
        """One look, and a push if it is needed; what differs after it."""
        self._say(await self._step())
        return self.drift

    async def _step(self) -> tuple[Drift, ...]:
        try:
            compiled = await self._compiling.current()
            if compiled is not self._compiled:
                await self._want(compiled, above=0)
            return await self._settle(compiled)
        except NotCompiledError as error:
            self._failures += 1
            return (Drift("not_compiled", str(error)),)
        except StoreError as error:
            self._failures += 1
            return (Drift("refused", f"the gateway's store: {error.detail}"),)
        except LoaderError as error:
            self._failures += 1
            return (Drift("refused" if error.reason else "unreachable", error.detail),)

    async def _settle(self, compiled: Compiled) -> tuple[Drift, ...]:
        """Have the loader enforce what is wanted, where it isn't another process's turn."""
        wanted, status = self._known(await self._looked())
        if status.node == self.node and not (is_in_force(wanted, status) and status.agrees):
            last = await self._nodes.issued(self.node)
            if status.latest > last:
                # Of another store, or of this one before it was restored: only a later one is taken.
                wanted = await self._want(compiled, above=_bounded(status.latest))
            elif last > wanted.generation:
                self._failures = 0
                return (Drift("superseded", f"another process issued generation {last}"),)
            await self._push(compiled, wanted)
            wanted, status = self._known(await self._looked())
        found = drift_of(wanted, status)
        self._failures = self._failures + 1 if any(each.kind in _PUSHED_AGAIN for each in found) else 0
        return found

    async def _push(self, compiled: Compiled, wanted: Wanted) -> None:
        document = await asyncio.to_thread(compiled.document, self.node, wanted.generation)
        jws = await asyncio.to_thread(self._signer.signed, document)
        try:
            done = await self._client.push(jws)
        except LoaderError as error:
            self._telemetry.metrics.kernel.pushed(self.node, "refused" if error.reason else "failed")
            if error.reason in _AGAIN:
                # What it keeps it doesn't always show; the next try is a later one.
                await self._want(compiled, above=wanted.generation)
            raise
        if done != Acknowledged(self.node, wanted.generation, wanted.sha256):
            self._telemetry.metrics.kernel.pushed(self.node, "failed")
            raise LoaderError("it acknowledged other rules than were pushed", "acknowledged_other")
        self._telemetry.metrics.kernel.pushed(self.node, "acknowledged")
        self._telemetry.log.info("kernel rules pushed", node=self.node, generation=wanted.generation)

    async def _want(self, compiled: Compiled, above: int) -> Wanted:
        content = await asyncio.to_thread(content_of, compiled, self.node)
        generation = await self._nodes.issue(self.node, content, above)
        document = await asyncio.to_thread(compiled.document, self.node, generation)
        digest = hashlib.sha256(document).hexdigest()
        self.wanted = Wanted(self.node, generation, compiled.rules.digest, digest)
        self._compiled = compiled
        return self.wanted

    async def _looked(self) -> LoaderStatus:
        status = await self._client.status()
        self.status, self.asked_at = status, self._clock()
        return status

    def _known(self, status: LoaderStatus) -> tuple[Wanted, LoaderStatus]:
        if self.wanted is None:
            raise LoaderError("nothing is wanted of it yet")
        return self.wanted, status

    async def _wait(self) -> None:
        """Until another snapshot is in force, or the next look is due."""
        seconds = self._settings.look_seconds
        if self._failures:
            seconds = min(FIRST_RETRY_SECONDS * 2 ** min(self._failures - 1, 20), self._settings.retry_seconds)
        end = time.monotonic() + seconds * (1 - JITTER * random.random())  # noqa: S311 - no secret
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(CHANGE_SECONDS, left))
            if self._compiled is not None and not self._compiling.is_of(self._compiled):
                return

    def _say(self, drift: tuple[Drift, ...]) -> None:
        self.drift = drift
        metrics = self._telemetry.metrics.kernel
        metrics.stands(self.node, self.wanted, self.status, drift)
        said = frozenset(drift)
        if said == self._said:
            return
        if drift:
            kinds = sorted({each.kind for each in drift})
            self._telemetry.log.error("kernel drift", node=self.node, kinds=kinds, detail=drift[0].detail)
        elif self._said:
            self._telemetry.log.info("kernel drift", node=self.node, detail="ok")
        self._said = said


def _bounded(generation: int) -> int:
    """What a loader says is above which the next one is: never so high that none is left.

    Raises:
        LoaderError: it is no generation.
    """
    if not 0 <= generation < MAX_GENERATION:
        raise LoaderError(f"it says generation {generation}", "generation_impossible")
    return generation
