"""The signer in force, and what replaces it: a changed key file, or the next turn of the store's key ring.

Fails closed: keys that can't be read from the store for ``STALE_SECONDS`` are not used any more, since they may have
been distrusted meanwhile.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.app.parts import PartError, sealing_secret, signer_of
from gateway.app.telemetry import Telemetry
from gateway.config.settings import Settings
from gateway.core.errors import StoreError
from gateway.core.key_schedule import Rotation
from gateway.core.reasons import Reason
from gateway.identity.key_ring import KeyRing, Turn
from gateway.identity.seal import AeadSealer
from gateway.identity.signer import Signer
from gateway.identity.signing_key import SigningKeyError
from gateway.store.sealed_keys import SqlSealedKeys

TURN_SECONDS = 0.4
"""How often the store is asked: what one replica changes, all follow within a second."""
STALE_SECONDS = 3.0

OnChange = Callable[[Signer, bool], None]
"""Told the signer in force now, and whether a key that was in use is distrusted."""


def key_ring(
    settings: Settings, environ: Mapping[str, str], state: AsyncEngine, require: Callable[[], None] | None = None
) -> KeyRing:
    """The key ring of the settings' store.

    Raises:
        PartError: the sealing secret can't be had.
    """
    signing = settings.keys.signing
    rotation = Rotation(max(1, int(signing.rotate_hours * 3600)), int(signing.lead_minutes * 60))
    sealer = AeadSealer(sealing_secret(settings, environ))
    more = () if require is None else (require,)
    return KeyRing(SqlSealedKeys(state), sealer, signing.algorithm, rotation, time.time, *more)


class Signing:
    """One process's signer. ``start`` before anything is signed."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], state: AsyncEngine, telemetry: Telemetry
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._telemetry = telemetry
        self._ring: KeyRing | None = None
        if settings.keys.signing.source == "store":
            self._ring = key_ring(settings, environ, state, self._require)
        self._turn: Turn | None = None
        self._turned = float("-inf")
        self._faults = ""
        self.first: Signer
        """The signer that the process begins with."""

    async def start(self) -> None:
        """Have ``first``.

        Raises:
            PartError: there is none.
        """
        if self._ring is None:
            self.first = self.reread(None)
            return
        try:
            self.first = self._took(await self._ring.turn()).signer
        except (StoreError, SigningKeyError) as error:
            raise PartError(f"keys.signing: {_text(error)}") from None

    def reread(self, current: Signer | None) -> Signer:
        """The signer now that files may have changed; ``current`` itself where it still is.

        Raises:
            PartError: the key file can't be used.
        """
        if self._turn is not None:
            return self._turn.signer
        found = signer_of(self._settings, self._environ)
        try:
            made = Path(str(self._settings.keys.signing.file)).stat().st_mtime
        except OSError as error:
            raise PartError(f"keys.signing: {error.filename}: {str(error.strerror).lower()}") from None
        self._telemetry.metrics.signing_key(int(made), 0)
        return found if current is None else current.succeeded_by(found)

    async def run(self, on_change: OnChange) -> None:
        """Follow the store until cancelled; does nothing where the key is a file."""
        while self._ring is not None:
            await asyncio.sleep(TURN_SECONDS)
            before = self._turn
            try:
                found = self._took(await self._ring.turn())
            except (StoreError, SigningKeyError) as error:
                self._say(_text(error))
                continue
            if before is None or found.signer is not before.signer:
                self._telemetry.log.info("signing key", kid=found.signer.kid, next_at=found.changes_at)
                on_change(found.signer, bool(found.distrusted - before.distrusted) if before else False)

    def _took(self, found: Turn) -> Turn:
        self._turn, self._turned = found, time.monotonic()
        self._telemetry.metrics.signing_key(found.since, found.changes_at)
        unreadable = ", ".join(found.unreadable)
        self._say(f"the sealing secret does not open {unreadable}; it is not published" if unreadable else "")
        return found

    def _say(self, fault: str) -> None:
        if fault:
            self._telemetry.metrics.signing_key_failed()
        if fault and fault != self._faults:
            self._telemetry.log.error("signing keys", detail=fault)
        self._faults = fault

    def _require(self) -> None:
        age = time.monotonic() - self._turned
        if age > STALE_SECONDS:
            raise StoreError(Reason.STORE_UNAVAILABLE, f"the signing keys were last read {int(age)} s ago")


def _text(error: StoreError | SigningKeyError) -> str:
    return error.detail if isinstance(error, StoreError) else str(error)
