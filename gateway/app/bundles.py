"""Trust bundles of other domains, fetched where the settings say and kept up to date (SPIFFE Federation §5).

A document counts whole or not at all; what can't be used or had leaves the last good one in force until it is stale,
and then the domain has no roots and its workloads are refused. Doesn't verify workloads (``identity.rotation``).
"""

import asyncio
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from gateway.app.telemetry import Telemetry
from gateway.config.federation_settings import BundleSource
from gateway.core.errors import StoreError
from gateway.core.keeping import KeptBundle, TrustBundles
from gateway.core.model import SpiffeId
from gateway.core.spiffe import trust_domain_of
from gateway.identity.bundles import BundleError, TrustBundle, check_follows, read_bundle
from gateway.identity.documents import DocumentError, fetch, issuer_tls
from gateway.identity.material import Material, read_bundles
from gateway.identity.tls import client_context

DEFAULT_HINT_SECONDS = 300
"""For documents without a ``spiffe_refresh_hint`` (SPIFFE Trust Domain and Bundle §4.1.2)."""
JITTER = 0.1
"""Part of an interval by which it is shortened at random, so that instances don't fetch together."""
FIRST_RETRY_SECONDS = 1.0

Roots = tuple[x509.Certificate, ...]
OnBundles = Callable[[Mapping[str, Roots]], None]


class NoMaterialError(DocumentError):
    """The gateway can't verify the endpoint yet."""


@dataclass
class Followed:
    """One trust domain's bundle as it is in force."""

    domain: str
    source: BundleSource
    held: TrustBundle | None = None
    fetched: float = 0.0
    """Unix seconds of the last time that the endpoint answered with a usable document."""
    failures: int = 0
    detail: str = "not fetched yet"
    bootstrap: Roots = field(default=())
    expiry: asyncio.TimerHandle | None = None
    """Ends the bundle when it is stale, whatever is being fetched then."""

    def roots(self, now: float) -> Roots:
        """Who is believed now: nobody, once the bundle is stale."""
        if self.held is None or now >= self.fetched + self.source.stale_seconds:
            return ()
        return self.held.roots

    def pause(self, jitter: float) -> float:
        """Seconds to the next fetch; ``jitter`` is of 0 to 1."""
        source = self.source
        hint = DEFAULT_HINT_SECONDS if self.held is None or self.held.hint is None else self.held.hint
        usual = float(min(max(hint, source.least_seconds), source.most_seconds))
        if self.failures:
            usual = min(usual, FIRST_RETRY_SECONDS * 2 ** min(self.failures - 1, 16))
        return usual * (1 - JITTER * jitter)

    def said(self, now: float) -> str:
        """How it stands, for ``/readyz``."""
        if self.held is None:
            return f"no bundle: {self.detail}"
        age = int(now - self.fetched)
        if now >= self.fetched + self.source.stale_seconds:
            cause = "its endpoint has not answered yet" if self.detail == "ok" else self.detail
            return f"{age} s old and no longer used: {cause}"
        return "ok" if self.detail == "ok" else f"{age} s old: {self.detail}"


class Bundles:
    """Follows the bundle endpoints of the settings; ``on_change`` gets the roots of all domains, whenever some change.

    ``material`` is of the gateway's own source: its SVID meets an ``https_spiffe`` endpoint, its roots begin with it.
    """

    def __init__(
        self,
        sources: Mapping[str, BundleSource],
        store: TrustBundles,
        material: Callable[[], Material | None],
        on_change: OnBundles,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._followed = [Followed(domain, source) for domain, source in sources.items()]
        self._store = store
        self._material = material
        self._on_change = on_change
        self._telemetry = telemetry
        self._clock = clock
        self._told: Mapping[str, Roots] = {}

    async def start(self) -> None:
        """Take what an earlier process kept, as far as it isn't stale.

        Raises:
            MaterialError: a bootstrap file can't be used; ``app.peers`` checks them before.
        """
        for each in self._followed:
            if each.source.bootstrap is not None:
                each.bootstrap = read_bundles({each.domain: Path(each.source.bootstrap)})[each.domain]
            try:
                kept = await self._store.kept(each.domain)
                if kept is not None:
                    each.held, each.fetched = read_bundle(kept.document), kept.fetched
            except (StoreError, BundleError) as error:
                each.detail = f"what was kept can't be used: {error}"
        self._tell()

    async def run(self) -> None:
        """Fetch until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for each in self._followed:
                    self._expire(each)
                    tasks.create_task(self._follow(each))
        finally:
            for each in self._followed:
                if each.expiry is not None:
                    each.expiry.cancel()

    def said(self) -> str:
        """``ok``, or what is wrong with which domain's bundle."""
        found = {each.domain: each.said(self._clock()) for each in self._followed}
        return "; ".join(f"{domain}: {said}" for domain, said in found.items() if said != "ok") or "ok"

    async def _follow(self, each: Followed) -> None:
        while True:
            await self._refresh(each)
            await asyncio.sleep(each.pause(random.random()))  # noqa: S311 - spreads load, hides nothing

    def _expire(self, each: Followed) -> None:
        if each.expiry is not None:
            each.expiry.cancel()
        left = each.fetched + each.source.stale_seconds - self._clock()
        each.expiry = asyncio.get_running_loop().call_later(max(0.0, left), self._tell)

    async def _refresh(self, each: Followed) -> None:
        before = each.detail
        try:
            document = await fetch(each.source.url, self._tls(each), loopback_http=False)
            found = read_bundle(document)
            if each.held is not None:
                check_follows(found, each.held)
        except (DocumentError, BundleError, OSError) as error:
            each.failures += 1
            each.detail = str(error)
            self._telemetry.metrics.bundle_failed(each.domain)
            if each.detail != before:
                self._telemetry.log.warning("trust bundle", trust_domain=each.domain, detail=each.said(self._clock()))
        else:
            each.held, each.fetched, each.failures, each.detail = found, self._clock(), 0, "ok"
            self._telemetry.metrics.bundle_fetched(each.domain, each.fetched)
            # A root that is gone is gone at once, however long the store takes.
            self._tell()
            self._expire(each)
            await self._keep(each, document)

    async def _keep(self, each: Followed, document: bytes) -> None:
        sequence = each.held.sequence if each.held is not None and each.held.sequence is not None else -1
        try:
            await self._store.keep(each.domain, KeptBundle(document, int(each.fetched)), sequence)
        except StoreError as error:
            # It is in force all the same: only the next process begins without it.
            self._telemetry.log.warning("trust bundle not kept", trust_domain=each.domain, detail=error.detail)

    def _tls(self, each: Followed) -> ssl.SSLContext:
        source = each.source
        if source.profile == "https_web":
            return issuer_tls(None if source.ca_file is None else Path(source.ca_file))
        material, expected = self._material(), SpiffeId(str(source.spiffe_id))
        if material is None:
            raise NoMaterialError("the gateway has no SVID at present")
        domain = trust_domain_of(expected)
        roots = material.bundles.get(domain, ())
        if domain == each.domain:
            # A stale bundle vouches for nobody but the endpoint that may bring a newer one.
            roots = (each.held.roots if each.held is not None else ()) or each.bootstrap or roots
        return client_context(
            Material(material.own, {domain: roots}), expected, self._telemetry.on_refused("bundle endpoint")
        )

    def _tell(self) -> None:
        now = self._clock()
        # Before its first document a domain is believed by the own source's roots, if there are any.
        roots = {each.domain: each.roots(now) for each in self._followed if each.held is not None}
        if roots != self._told:
            self._told = roots
            self._on_change(roots)
            counts = {domain: len(found) for domain, found in roots.items()}
            self._telemetry.log.info("trust bundles", roots=counts)
