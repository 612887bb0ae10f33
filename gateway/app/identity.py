"""The gateway's own TLS identity: where it comes from, and what it is published to when it changes.

Fails closed: without an SVID no handshake succeeds, in or out, and nobody on a live connection is vouched for.
A renewal that fails leaves in use what there is, until it expires.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping

from cryptography import x509
from msgspec import Struct

from gateway.app.parts import PartError, material_of, own_peer, public_pair
from gateway.app.telemetry import Telemetry
from gateway.config.settings import Settings
from gateway.identity.material import KeyPair, Material, MaterialError
from gateway.identity.rotation import RotatingClient, RotatingPublic, RotatingServer
from gateway.identity.workload_api import WorkloadSource

LOOK_SECONDS = 60.0
"""How often files are read again although nothing was seen to change: development SVIDs renew by that."""
_SVID, _PUBLIC = "svid", "public"


class Standing(Struct, frozen=True):
    """How it stands with the gateway's own SVID."""

    usable: bool
    detail: str
    """``ok``, or what is wrong; an SVID whose renewal fails is usable all the same."""
    expires: int
    """Unix seconds; 0 where there is none."""


STARTING = Standing(False, "starting", 0)


class Identity:
    """The contexts that show the SVID, and the source that renews it."""

    def __init__(self, settings: Settings, telemetry: Telemetry, on_change: Callable[[Standing], None]) -> None:
        self.server = RotatingServer(telemetry.on_refused("data"))
        self.public = RotatingPublic()
        self.admin = RotatingServer(telemetry.on_refused("admin"), optional=True)
        self.client = RotatingClient(telemetry.on_refused("upstream"))
        self._settings = settings
        self._telemetry = telemetry
        self._on_change = on_change
        self._on_trust: Callable[[], None] = lambda: None
        self._base: Material | None = None
        self._held: Material | None = None
        """``_base`` with what was fetched of other domains in place of its own source's roots of them."""
        self._fetched: Mapping[str, tuple[x509.Certificate, ...]] = {}
        self._expires = 0
        self._shown: KeyPair | None = None
        self._faults: dict[str, str] = {}
        self._standing = STARTING
        self._reading = asyncio.Lock()
        api = settings.identity.workload_api
        self._source = None
        if settings.identity.source == "workload_api" and api is not None:
            self._source = WorkloadSource(api.socket, self._updated, self._not_renewed, self._withdraw)

    async def start(self) -> None:
        """Publish the first material.

        Raises:
            PartError: there is none, or it isn't the configured trust domain's.
        """
        api = self._settings.identity.workload_api
        if self._source is None or api is None:
            material = await asyncio.to_thread(material_of, self._settings, time.time())
        else:
            try:
                material = await self._source.first(api.start_seconds)
            except MaterialError as error:
                raise PartError(f"identity.workload_api: {error}") from None
        self._use(material)
        await self._read_public()
        self._say()

    async def run(self, on_trust: Callable[[], None]) -> None:
        """Renew until cancelled; ``on_trust`` is told when who is vouched for may have changed."""
        self._on_trust = on_trust
        if self._source is not None:
            await self._source.run()
            return
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, max(1.0, self._expires - time.time())))
            await self.reload()

    async def reload(self) -> None:
        """Read the files anew; what can't be used is said, and what is in use stays until it expires."""
        async with self._reading:
            if self._source is None:
                try:
                    self._use(await asyncio.to_thread(material_of, self._settings, time.time()))
                except PartError as error:
                    if self._expires <= time.time():
                        self._withdraw()
                    self._not_renewed(str(error))
            try:
                await self._read_public()
            except PartError as error:
                self._fail(_PUBLIC, str(error))
            self._say()

    @property
    def material(self) -> Material | None:
        """What comes of the own source, without anything fetched; None where there is nothing at present."""
        return self._base

    def federate(self, fetched: Mapping[str, tuple[x509.Certificate, ...]]) -> None:
        """Believe these roots of other trust domains from now on; a domain without any is believed no longer."""
        self._fetched = fetched
        if self._base is None:
            return
        try:
            self._use(self._base)
        except PartError as error:
            self._fetched = dict.fromkeys(fetched, ())
            self._use(self._base)
            self._not_renewed(f"fetched trust bundles can't be used, so none of them is: {error}")

    def _updated(self, material: Material) -> None:
        try:
            self._use(material)
        except PartError as error:
            self._withdraw()
            self._not_renewed(str(error))
        self._say()

    def _use(self, material: Material) -> None:
        """Publish ``material`` whole, or nothing of it."""
        base = material
        material = Material(base.own, {**base.bundles, **self._fetched})
        peer = own_peer(self._settings, material, time.time())
        if material != self._held:
            try:
                self.server.publish(material)
                self.admin.publish(Material(self._shown or material.own, material.bundles))
                if self._settings.identity.public is None:
                    self.public.publish(material.own)
            except ssl.SSLError as error:
                raise PartError(f"identity.{self._settings.identity.source}: OpenSSL: {error.reason}") from None
            self.client.publish(material)
            self._base, self._held, self._expires = base, material, peer.not_after
            self._on_trust()
        self._faults.pop(_SVID, None)

    async def _read_public(self) -> None:
        if self._settings.identity.public is None:
            return
        pair = await asyncio.to_thread(public_pair, self._settings)
        if pair != self._shown:
            try:
                self.public.publish(pair)
            except ssl.SSLError as error:
                raise PartError(f"identity.public: OpenSSL: {error.reason}") from None
            self._shown = pair
            if self._held is not None:
                self.admin.publish(Material(pair, self._held.bundles))
        self._faults.pop(_PUBLIC, None)

    def _withdraw(self) -> None:
        self._base, self._held, self._expires = None, None, 0
        self.server.withdraw()
        self.admin.withdraw()
        self.client.withdraw()
        if self._settings.identity.public is None:
            self.public.withdraw()
        self._on_trust()

    def _not_renewed(self, detail: str) -> None:
        self._fail(_SVID, detail)
        self._say()

    def _fail(self, what: str, detail: str) -> None:
        self._faults[what] = detail
        self._telemetry.metrics.identity_failed()

    def _say(self) -> None:
        before, detail = self._standing, "; ".join(self._faults.values()) or "ok"
        standing = self._standing = Standing(self._held is not None, detail, self._expires)
        self._telemetry.metrics.identity_expires(standing.expires)
        self._on_change(standing)
        # Not each attempt: an agent that is gone is asked again every few seconds.
        if before == STARTING or (before.usable, before.detail == "ok") == (standing.usable, detail == "ok"):
            return
        log = self._telemetry.log.info if detail == "ok" else self._telemetry.log.error
        log("identity", detail=detail, usable=standing.usable, expires=standing.expires)
