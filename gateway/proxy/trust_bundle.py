"""The gateway's own trust bundle, for other trust domains to fetch (SPIFFE Federation §5).

Public by nature and free of decisions, like ``wellknown``.
"""

from collections.abc import Awaitable, Callable

from gateway.core.errors import HopError
from gateway.core.keeping import TrustBundles
from gateway.core.reasons import Reason
from gateway.identity.bundles import bundle_digest, write_bundle
from gateway.identity.material import Material
from gateway.proxy.exchange import Answer

PATH = "/.well-known/spiffe-bundle"

Document = Callable[[], Awaitable[bytes]]
"""The current document. Raises HopError IDENTITY_UNAVAILABLE, or StoreError."""


async def answer(http_method: str, document: Document | None) -> Answer:
    """The bundle document.

    Raises:
        HopError: HTTP_METHOD, ROUTE_UNKNOWN where none is served, IDENTITY_UNAVAILABLE.
        StoreError: its sequence can't be had.
    """
    if http_method not in ("GET", "HEAD"):
        raise HopError(Reason.HTTP_METHOD, "the bundle is read with GET")
    if document is None:
        raise HopError(Reason.ROUTE_UNKNOWN, "no such document")
    headers = (("Content-Type", "application/json"), ("Cache-Control", "no-cache"))
    return Answer(200, headers, await document())


class OwnBundle:
    """The document of the own domain's roots; its sequence grows in the store whenever they change."""

    def __init__(
        self,
        trust_domain: str,
        hint: int,
        material: Callable[[], Material | None],
        store: TrustBundles,
        clock: Callable[[], float],
    ) -> None:
        self._trust_domain = trust_domain
        self._hint = hint
        self._material = material
        self._store = store
        self._clock = clock
        self._made: tuple[str, bytes] = ("", b"")

    async def document(self) -> bytes:
        """The current document.

        Raises:
            HopError: IDENTITY_UNAVAILABLE, there are no roots at present.
            StoreError: the sequence can't be had.
        """
        material = self._material()
        roots = () if material is None else material.bundles.get(self._trust_domain, ())
        if not roots:
            raise HopError(Reason.IDENTITY_UNAVAILABLE, "the gateway has no trust bundle of its own at present")
        digest = bundle_digest(roots)
        if digest != self._made[0]:
            sequence = await self._store.sequence(self._trust_domain, digest, int(self._clock()))
            self._made = (digest, write_bundle(roots, sequence, self._hint))
        return self._made[1]
