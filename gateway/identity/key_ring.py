"""Signing keys that the gateway makes itself: kept sealed in the store, replaced by schedule, one set for all replicas.

Each step is one transaction, so that a process may die between any two; the next turn of any replica goes on from
there. A key that this deployment's secret doesn't open is not published: nobody plants one by writing to the store.
Doesn't say when (``core.key_schedule``), and doesn't run by itself (``app.signing``).
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from gateway.core import key_schedule
from gateway.core.keeping import SealedKeys
from gateway.core.key_schedule import Rotation, SealedKey
from gateway.core.ports import Sealer
from gateway.identity.signer import Signer, always
from gateway.identity.signing_key import (
    Algorithm,
    Jwk,
    PrivateKey,
    SigningKeyError,
    generate,
    private_pem,
    public_half,
    read_private,
)

Clock = Callable[[], float]


class Halves(Struct, frozen=True):
    """What is sealed of a key. ``private`` is PKCS#8 PEM, and None once the key no longer signs."""

    jwk: Jwk
    private: str | None

    def __repr__(self) -> str:
        return "Halves()"


class Turn(Struct, frozen=True):
    """What a look at the store found. Times are Unix seconds."""

    signer: Signer
    since: int
    """When the current key began to sign."""
    changes_at: int
    """When the next one is to."""
    distrusted: frozenset[str]
    """Key ids that nobody may trust any more."""
    unreadable: tuple[str, ...]
    """Key ids that the sealing secret doesn't open."""


class KeyRing:
    """The keys of one store. ``require`` is asked by each ``Signer`` before it is used."""

    def __init__(
        self,
        store: SealedKeys,
        sealer: Sealer,
        algorithm: Algorithm,
        rotation: Rotation,
        clock: Clock,
        require: Callable[[], None] = always,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._algorithm: Algorithm = algorithm
        self._rotation = rotation
        self._clock = clock
        self._require = require
        self._signer: Signer | None = None
        self._made_of: object = None

    async def turn(self) -> Turn:
        """Read the keys, make the next one if it is due, clear away what is over, and say who signs now.

        Raises:
            StoreError: the store can't be asked.
            SigningKeyError: the current key can't be opened.
        """
        keys, now = await self._store.all(), int(self._clock())
        signs_from = key_schedule.due(keys, now, self._rotation)
        if signs_from is not None:
            # Whether or not another replica was first: what is in the store counts.
            await self._store.add(self._made(keys, now, signs_from))
            keys = await self._store.all()
        found = self._found(keys, now)
        await self._tidy(keys, now)
        return found

    async def rotate(self) -> SealedKey | None:
        """Make the next key now, to sign after the lead time; None if one waits for its time already.

        Raises:
            StoreError: the store can't be asked.
        """
        keys, now = await self._store.all(), int(self._clock())
        if any(key.signs_from > now for key in key_schedule.trusted(keys)):
            return None
        made = self._made(keys, now, now + self._rotation.lead if keys else now)
        return made if await self._store.add(made) else None

    async def begin_anew(self) -> SealedKey:
        """Distrust every key at once, and sign with a new one from now on.

        Raises:
            StoreError: the store can't be asked.
        """
        while True:
            now = int(self._clock())
            made = self._made(await self._store.all(), now, now)
            if await self._store.begin_anew(made):
                return made

    async def listed(self) -> tuple[SealedKey, ...]:
        """The keys as they are in the store, oldest first.

        Raises:
            StoreError: the store can't be asked.
        """
        return await self._store.all()

    def _found(self, keys: Sequence[SealedKey], now: int) -> Turn:
        current = key_schedule.current(keys, now)
        if current is None:
            raise SigningKeyError("the store holds no trusted signing key")
        published = key_schedule.published(keys, now)
        opened = {key.kid: self._opened(key) for key in published}
        made_of = (current.kid, tuple(sorted((kid, halves is not None) for kid, halves in opened.items())))
        if self._signer is None or made_of != self._made_of:
            others = [halves.jwk for halves in opened.values() if halves is not None]
            self._signer = Signer(_private(current, opened[current.kid]), others[::-1], self._require)
            self._made_of = made_of
        return Turn(
            signer=self._signer,
            since=current.signs_from,
            changes_at=key_schedule.next_change(keys, now, self._rotation),
            distrusted=frozenset(key.kid for key in keys if key.distrusted_at),
            unreadable=tuple(kid for kid, halves in opened.items() if halves is None),
        )

    async def _tidy(self, keys: Sequence[SealedKey], now: int) -> None:
        for key in key_schedule.unused(keys, now):
            halves = self._opened(key)
            if halves is not None and halves.private is not None:
                await self._store.reseal(key.number, key.sealed, self._sealed(key, Halves(halves.jwk, None)))
        over = key_schedule.over(keys, now)
        if over:
            await self._store.forget([key.number for key in over])

    def _made(self, keys: Sequence[SealedKey], now: int, signs_from: int) -> SealedKey:
        private = generate(self._algorithm)
        jwk = public_half(private)
        key = SealedKey(
            number=key_schedule.next_number(keys),
            kid=jwk["kid"],
            algorithm=self._algorithm,
            sealed="",
            made_at=now,
            signs_from=signs_from,
        )
        sealed = self._sealed(key, Halves(jwk, private_pem(private).decode()))
        return msgspec.structs.replace(key, sealed=sealed)

    def _sealed(self, key: SealedKey, halves: Halves) -> str:
        return self._sealer.seal(msgspec.json.encode(halves), _context(key))

    def _opened(self, key: SealedKey) -> Halves | None:
        plaintext = self._sealer.open(key.sealed, _context(key))
        return None if plaintext is None else msgspec.json.decode(plaintext, type=Halves)


def _context(key: SealedKey) -> bytes:
    """What a sealed key is bound to: it is no other key, and has no other times."""
    return f"signing key {key.number} {key.kid} {key.made_at} {key.signs_from}".encode()


def _private(key: SealedKey, halves: Halves | None) -> PrivateKey:
    if halves is None or halves.private is None:
        raise SigningKeyError(
            f"the sealing secret does not open signing key {key.kid} of the store; give every replica the secret that "
            "sealed it, or distrust the key with hopgate keys rotate --now"
        )
    return read_private(halves.private.encode())
