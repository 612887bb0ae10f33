"""The gateway's own TLS identity: where it comes from, and what it is published to when it changes.

Fails closed: without an SVID no handshake succeeds, in or out.
"""

import asyncio
import time
from collections.abc import Callable

from gateway.app.parts import PartError, material_of, public_pair
from gateway.config.settings import Settings
from gateway.identity.material import Material, MaterialError
from gateway.identity.rotation import RotatingClient, RotatingPublic, RotatingServer
from gateway.identity.tls import OnRefused
from gateway.identity.workload_api import WorkloadSource

OnChange = Callable[[str], None]
"""Told ``ok``, or what is wrong with the identity."""


class Identity:
    """The three contexts that show the SVID, and the source that renews it."""

    def __init__(self, settings: Settings, refused: Callable[[str], OnRefused], on_change: OnChange) -> None:
        self.server = RotatingServer(refused("data"))
        self.public = RotatingPublic()
        self.client = RotatingClient(refused("upstream"))
        self._settings = settings
        self._on_change = on_change
        self._held: Material | None = None
        api = settings.identity.workload_api
        self._source = None
        if settings.identity.source == "workload_api" and api is not None:
            self._source = WorkloadSource(api.socket, self._publish, on_change, self._withdraw)

    async def start(self) -> None:
        """Publish the first material.

        Raises:
            PartError: there is none, or it isn't the configured trust domain's.
        """
        api = self._settings.identity.workload_api
        if self._source is None or api is None:
            self._publish(await asyncio.to_thread(material_of, self._settings, time.time()))
            return
        try:
            self._publish(await self._source.first(api.start_seconds))
        except MaterialError as error:
            raise PartError(f"identity.workload_api: {error}") from None

    async def run(self) -> None:
        """Follow the Workload API until cancelled; returns at once for other sources."""
        if self._source is not None:
            await self._source.run()

    async def reload(self) -> None:
        """Read PEM or development files anew; what is in use stays if they can't be used.

        Raises:
            PartError: they can't be used.
        """
        if self._source is None:
            material = await asyncio.to_thread(material_of, self._settings, time.time())
            if material != self._held:
                self._publish(material)

    def _publish(self, material: Material) -> None:
        domain = material.identity(time.time()).trust_domain
        if domain != self._settings.identity.trust_domain:
            self._on_change(f"the SVID is of trust domain {domain}, not of identity.trust_domain")
            self._withdraw()
            return
        self.server.publish(material)
        self.client.publish(material)
        self.public.publish(public_pair(self._settings, material.own))
        self._held = material
        self._on_change("ok")

    def _withdraw(self) -> None:
        self._held = None
        self.server.withdraw()
        self.client.withdraw()
        if self._settings.identity.public is None:
            self.public.withdraw()
