"""The gateway's SVID and trust bundles from the SPIFFE Workload API, as a SPIRE agent serves it.

Decides what of it may be used: an update counts whole or not at all, and an agent that is gone leaves the
last good material in use until it expires. Refusal is not absence: an agent that denies an SVID, or sends
one that can't be used, takes the material away at once, since its bundles may have lost a root. Doesn't
make TLS contexts (``identity.rotation``).
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec import Struct
from spiffe import WorkloadApiClient
from spiffe.errors import PySpiffeError
from spiffe.workloadapi.x509_context import X509Context

from gateway.identity.material import KeyPair, Material, MaterialError
from gateway.identity.tls import Clock

_SCHEME = "unix:"
_LOST = ("gRPC error: ", "Workload API stream ended")
"""How py-spiffe begins the text of errors of the connection; any other is about what an update says."""
_DENIED = "PERMISSION_DENIED"

OnUpdate = Callable[[Material], None]
OnFailure = Callable[[str], None]
"""Told what is wrong, with the socket and the likely cause; the text holds no key."""
OnWithdrawn = Callable[[], None]


class Backoff(Struct, frozen=True):
    """Seconds between two attempts to reach the agent: doubled each time up to ``most``, begun anew by an update."""

    least: float = 0.1
    most: float = 5.0

    def pauses(self) -> Iterator[float]:
        """The pauses after the first, second, … failed attempt."""
        pause = self.least
        while True:
            yield pause
            pause = min(pause * 2, self.most)


class _Update(Struct, frozen=True):
    material: Material
    expires: int


class _Fault(Struct, frozen=True):
    detail: str
    withdraws: bool
    ends: bool
    """Whether the connection is over."""


_Event = _Update | _Fault


class WorkloadSource:
    """Material from the agent behind a Unix socket, for as long as ``run`` runs.

    ``on_update`` gets each usable update, ``on_failure`` each thing that goes wrong, and ``on_withdrawn``
    says that the last update may no longer be used, before ``on_failure`` says why; all on the event loop.

    Raises:
        ValueError: ``socket`` is neither an absolute path nor ``unix://`` and one.
    """

    def __init__(
        self,
        socket: str,
        on_update: OnUpdate,
        on_failure: OnFailure,
        on_withdrawn: OnWithdrawn,
        *,
        clock: Clock = time.time,
        backoff: Backoff | None = None,
    ) -> None:
        path = socket.removeprefix(f"{_SCHEME}//").removeprefix(_SCHEME)
        if not path.startswith("/"):
            raise ValueError(f"{socket}: is no absolute path of a Unix socket")
        self._path = path
        self._on_update = on_update
        self._on_failure = on_failure
        self._on_withdrawn = on_withdrawn
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._held: _Update | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def first(self, seconds: float) -> Material:
        """The material to start with, before ``run``; asks again until there is some.

        Raises:
            MaterialError: there was none within ``seconds``; says what the last attempt met.
        """
        cause = "the agent does not answer"
        try:
            async with asyncio.timeout(seconds):
                for pause in self._backoff.pauses():
                    with self._subscribed() as events:
                        event = await events.get()
                    if isinstance(event, _Update):
                        self._held = event
                        return event.material
                    cause = event.detail
                    await asyncio.sleep(pause)
        except TimeoutError:
            pass
        raise MaterialError(f"{self._path}: no SVID within {seconds:g} s: {cause}")

    async def run(self) -> None:
        """Follow the agent until cancelled, connecting again whenever the connection is lost."""
        try:
            if self._held is not None:
                self._expire_at(self._held.expires)
            pauses = self._backoff.pauses()
            while True:
                if await self._follow():
                    pauses = self._backoff.pauses()
                await asyncio.sleep(next(pauses))
        finally:
            self._cancel_expiry()

    async def _follow(self) -> bool:
        """One connection to its end; whether it brought an update."""
        updated = False
        with self._subscribed() as events:
            while True:
                event = await events.get()
                if isinstance(event, _Update):
                    updated = True
                    self._publish(event)
                    continue
                if event.withdraws:
                    self._withdraw(event.detail)
                else:
                    self._on_failure(f"{self._path}: {event.detail}; {self._remaining()}")
                if event.ends:
                    return updated

    def _publish(self, update: _Update) -> None:
        self._held = update
        self._expire_at(update.expires)
        self._on_update(update.material)

    def _withdraw(self, why: str) -> None:
        self._cancel_expiry()
        held, self._held = self._held, None
        if held is not None:
            self._on_withdrawn()
        self._on_failure(f"{self._path}: {why}; there is no SVID to use until the agent sends one")

    def _remaining(self) -> str:
        if self._held is None:
            return "there is no SVID to use until it answers"
        return f"the last SVID serves for another {max(0, int(self._held.expires - self._clock()))} s"

    def _expire_at(self, expires: int) -> None:
        self._cancel_expiry()
        loop = asyncio.get_running_loop()
        why = "the last SVID has expired and the agent has sent no other"
        self._expiry = loop.call_later(max(0.0, expires - self._clock()), self._withdraw, why)

    def _cancel_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    @contextmanager
    def _subscribed(self) -> Iterator[asyncio.Queue[_Event]]:
        """What one connection to the agent brings. The last event of a connection that ends is a fault."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[_Event] = asyncio.Queue()

        def say(event: _Event) -> None:
            # py-spiffe calls from a thread of its own, which may outlive the loop by a moment.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(events.put_nowait, event)

        try:
            client = WorkloadApiClient(f"{_SCHEME}//{self._path}")
        except PySpiffeError as error:
            events.put_nowait(_Fault(str(error), withdraws=False, ends=True))
            yield events
            return
        # Its own reconnecting is off: it is silent, and the operator should know that the agent is gone.
        stream = client.stream_x509_contexts(
            lambda context: say(_read(context, self._clock())),
            lambda error: say(_lost_or_unreadable(error)),
            retry_connect=False,
        )
        try:
            yield events
        finally:
            stream.cancel()
            client.close()


def _read(context: X509Context, now: float) -> _Event:
    svid = context.default_svid
    if svid.private_key.public_key() != svid.leaf.public_key():
        return _Fault("the private key is not that of the SVID", withdraws=True, ends=False)
    certificates = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in svid.cert_chain)
    key = svid.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    bundles = {bundle.trust_domain.name: tuple(bundle.x509_authorities) for bundle in context.x509_bundle_set.bundles}
    material = Material(KeyPair(certificates, key), bundles)
    try:
        return _Update(material, material.identity(now).not_after)
    except MaterialError as error:
        return _Fault(str(error), withdraws=True, ends=False)


def _lost_or_unreadable(error: Exception) -> _Fault:
    text = str(error)
    if not text.startswith(_LOST):
        return _Fault(f"the agent's update can't be used: {text[:300]}", withdraws=True, ends=True)
    if _DENIED in text:
        why = "the agent denies an SVID; register an entry that selects the gateway's process"
        return _Fault(why, withdraws=True, ends=True)
    return _Fault(f"the agent is lost ({text.removeprefix(_LOST[0])})", withdraws=False, ends=True)
