"""An issuer's keys as they are now: fetched, kept, and fetched again when that may help.

Decides when to fetch, and when kept keys are too old to trust. Doesn't follow any URL of a token, so a
caller can cause at most one fetch in ``REFETCH_SECONDS``.
"""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.core.errors import TokenError
from gateway.core.reasons import Reason
from gateway.identity.documents import DocumentError, check_url, discover_jwks_uri, fetch, issuer_tls
from gateway.identity.issuers import Discovery, Issuer, JwksFile, JwksUri
from gateway.identity.jose import UnverifiedJws
from gateway.identity.jwks import Keys, read_jwks

MAX_AGE_SECONDS = 600
"""Older keys are fetched again at their next use: how long a withdrawn key can still verify."""
MAX_STALE_SECONDS = 3600
"""Kept keys older than this are no longer used while fetching fails."""
REFETCH_SECONDS = 30
"""At least this long between two fetches, whatever key ids are presented."""

Load = Callable[[], Awaitable[bytes]]
OnFailure = Callable[[str, str], None]
"""Told the issuer's name and the cause when fetching its keys failed."""


class KeySet:
    """The keys of one issuer. Safe for concurrent use by tasks of one event loop."""

    def __init__(self, issuer: Issuer, load: Load, on_failure: OnFailure) -> None:
        self._issuer = issuer
        self._load = load
        self._on_failure = on_failure
        self._keys: Keys | None = None
        self._fetched = 0
        self._tried: int | None = None
        self._failure = ""
        self._fetching = asyncio.Lock()

    async def verify(self, jws: UnverifiedJws, now: int) -> None:
        """Check the token's signature by the issuer's keys as of ``now`` (Unix seconds).

        Raises:
            TokenError: TOKEN_SIGNATURE, or KEYS_UNAVAILABLE where keys that might verify it can't be had.
        """
        keys = await self._current(now)
        if not keys.knows(jws.kid):
            keys = await self._refetched(now)
            if not keys.knows(jws.kid) and self._failure:
                raise self._unavailable()
        if not keys.verify(jws):
            raise TokenError(Reason.TOKEN_SIGNATURE, f"no key of issuer {self._issuer.name} verifies the token")

    async def _current(self, now: int) -> Keys:
        keys = self._keys
        # While one caller fetches again, the others go on with the kept keys.
        if keys is None or (now - self._fetched >= MAX_AGE_SECONDS and not self._fetching.locked()):
            keys = await self._refetched(now)
        if now - self._fetched >= MAX_STALE_SECONDS:
            raise self._unavailable()
        return keys

    async def _refetched(self, now: int) -> Keys:
        async with self._fetching:
            if self._tried is None or now - self._tried >= REFETCH_SECONDS:
                await self._fetch(now)
        if self._keys is None:
            raise self._unavailable()
        return self._keys

    async def _fetch(self, now: int) -> None:
        self._tried = now
        try:
            self._keys = read_jwks(await self._load(), self._issuer.algorithms)
        except (DocumentError, ValueError) as error:
            self._failure = str(error)
            self._on_failure(self._issuer.name, self._failure)
        else:
            self._fetched, self._failure = now, ""

    def _unavailable(self) -> TokenError:
        return TokenError(
            Reason.KEYS_UNAVAILABLE, f"keys of issuer {self._issuer.name}: {self._failure or 'not fetched yet'}"
        )


def key_set(issuer: Issuer, on_failure: OnFailure) -> KeySet:
    """The key set of ``issuer`` by its configured source. Fetches nothing yet.

    Raises:
        DocumentError: a configured URL may not be fetched.
        OSError: ``ca_file`` can't be read.
    """
    source = issuer.source
    if isinstance(source, JwksFile):
        return KeySet(issuer, _file_loader(source), on_failure)
    tls = issuer_tls(issuer.ca_file)
    check_url(source.url if isinstance(source, JwksUri) else issuer.issuer, loopback_http=issuer.loopback_http)

    async def load() -> bytes:
        if isinstance(source, Discovery):
            url = await discover_jwks_uri(issuer.issuer, tls, loopback_http=issuer.loopback_http)
        else:
            url = source.url
        return await fetch(url, tls, loopback_http=issuer.loopback_http)

    return KeySet(issuer, load, on_failure)


def _file_loader(source: JwksFile) -> Load:
    async def load() -> bytes:
        try:
            return await asyncio.to_thread(source.path.read_bytes)
        except OSError as error:
            raise DocumentError(f"{source.path}: can't be read: {error.strerror}") from None

    return load
