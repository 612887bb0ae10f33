"""The JWT authorities in force: of the configured files, and of the Workload API where the gateway has one."""

import asyncio
from collections.abc import Mapping

from gateway.app.parts import PartError, authorities_of
from gateway.app.telemetry import Telemetry
from gateway.config.settings import Settings
from gateway.core.ports import SingleUse
from gateway.identity.jwks import Keys
from gateway.identity.jwt_bundle_source import JwtBundleSource
from gateway.identity.jwt_svid import JwtBundles, JwtSvids


class JwtAuthorities:
    """``verifier`` is None where no JWT-SVIDs are taken."""

    def __init__(self, settings: Settings, single_use: SingleUse, telemetry: Telemetry) -> None:
        self._bundles = JwtBundles()
        self._telemetry = telemetry
        self._settings = settings.identity.jwt_svid
        self._files: Mapping[str, Keys] = {}
        self._agents: Mapping[str, Keys] = {}
        self._source: JwtBundleSource | None = None
        self.verifier: JwtSvids | None = None
        if self._settings is None:
            return
        self.verifier = JwtSvids(self._bundles, single_use, self._settings.max_seconds, settings.limits.token_bytes)
        api = settings.identity.workload_api
        if settings.identity.source == "workload_api" and api is not None:
            path = api.socket.removeprefix("unix:").removeprefix("//")
            self._source = JwtBundleSource(path, self._from_agent, self._failed)

    def start(self) -> None:
        """Read the files for the first time.

        Raises:
            PartError: one can't be used.
        """
        if self._settings is not None:
            self._files = authorities_of(self._settings)
            self._publish()

    async def run(self) -> None:
        """Follow the Workload API until cancelled; does nothing where there is none."""
        if self._source is not None:
            await self._source.run()

    async def reload(self) -> None:
        """Read the files anew; what can't be used is said, and what is in use stays."""
        if self._settings is None:
            return
        try:
            self._files = await asyncio.to_thread(authorities_of, self._settings)
        except PartError as error:
            self._failed(str(error))
        self._publish()

    def _from_agent(self, keys: Mapping[str, Keys]) -> None:
        self._agents = keys
        self._publish()

    def _publish(self) -> None:
        self._bundles.publish({**self._files, **self._agents})

    def _failed(self, detail: str) -> None:
        self._telemetry.metrics.identity_failed()
        self._telemetry.log.error("JWT authorities", detail=detail)
