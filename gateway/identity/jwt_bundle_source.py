"""JWT authorities from the SPIFFE Workload API: those of the gateway's own trust domain and of the federated ones.

An agent that is gone leaves the last bundles in use for a while, and no longer: it may have taken a key away. Doesn't
verify anything (``identity.jwt_svid``).
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from spiffe import WorkloadApiClient
from spiffe.bundle.jwt_bundle.jwt_bundle_set import JwtBundleSet
from spiffe.errors import PySpiffeError

from gateway.identity.jwks import Keys
from gateway.identity.jwt_svid import bundle_of
from gateway.identity.workload_api import Backoff

STALE_SECONDS = 600.0

OnBundles = Callable[[Mapping[str, Keys]], None]
OnFailure = Callable[[str], None]


class JwtBundleSource:
    """Follows the agent behind the Unix socket ``path`` while ``run`` runs; both callbacks come on the event loop."""

    def __init__(self, path: str, on_bundles: OnBundles, on_failure: OnFailure, backoff: Backoff | None = None) -> None:
        self._path = path
        self._on_bundles = on_bundles
        self._on_failure = on_failure
        self._backoff = backoff or Backoff()
        self._told = time.monotonic()

    async def run(self) -> None:
        """Follow the agent until cancelled, connecting again whenever the connection is lost."""
        pauses = self._backoff.pauses()
        while True:
            if await self._follow():
                pauses = self._backoff.pauses()
            if time.monotonic() - self._told > STALE_SECONDS:
                self._on_bundles({})
            await asyncio.sleep(next(pauses))

    async def _follow(self) -> bool:
        """One connection to its end; whether it brought bundles."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[JwtBundleSet | str] = asyncio.Queue()

        def say(event: JwtBundleSet | str) -> None:
            # py-spiffe calls from a thread of its own, which may outlive the loop by a moment.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(events.put_nowait, event)

        try:
            client = WorkloadApiClient(f"unix:{self._path}")
        except PySpiffeError as error:
            self._on_failure(f"{self._path}: {error}")
            return False
        stream = client.stream_jwt_bundles(say, lambda error: say(str(error)), retry_connect=False)
        brought = False
        try:
            while not isinstance(event := await events.get(), str):
                brought, self._told = True, time.monotonic()
                self._on_bundles({bundle.trust_domain.name: _keys(bundle.jwt_authorities) for bundle in event.bundles})
            self._on_failure(f"{self._path}: JWT bundles: {event[:300]}")
        finally:
            stream.cancel()
            client.close()
        return brought


def _keys(authorities: Mapping[str, object]) -> Keys:
    found: list[object] = []
    for kid, key in authorities.items():
        if isinstance(key, EllipticCurvePublicKey):
            found.append({**json.loads(ECAlgorithm.to_jwk(key)), "kid": kid})
        elif isinstance(key, RSAPublicKey):
            found.append({**json.loads(RSAAlgorithm.to_jwk(key)), "kid": kid})
    return bundle_of(found)
