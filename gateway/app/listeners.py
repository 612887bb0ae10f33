"""The ports: which listener gets which TLS context, and binding them."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

from msgspec import Struct

from gateway.app.identity import Identity
from gateway.app.parts import PartError
from gateway.config.settings import Settings
from gateway.core.model import Peer
from gateway.core.reasons import Reason
from gateway.proxy.consent_pages import ConsentPages
from gateway.proxy.exchange import Listener
from gateway.proxy.gate import Gate
from gateway.proxy.health import HealthListener
from gateway.proxy.pipeline import Pipeline
from gateway.proxy.server import HttpListener, OnMalformed, Tls


class Ports(Struct, frozen=True):
    """The ports in use, by listener."""

    data: int
    public: int
    health: int
    admin: int | None = None
    """None where the admin API is served on its socket only."""


def new_listeners(gate: Gate, identity: Identity) -> Mapping[Listener, HttpListener]:
    """The data listener, which requires an SVID, and the public one, which asks for no certificate."""
    handle, limits = Pipeline(gate).handle, gate.edition().snapshot.limits
    data = Tls(identity.server.context, identity.server.peer_of)
    public = Tls(identity.public.context, lambda connection: None)

    def malformed(name: Listener) -> OnMalformed:
        def count(kind: str, peer: Peer | None) -> None:
            if peer is not None and peer.spiffe_id not in gate.mesh.proxies:
                gate.metering.refused(peer.spiffe_id, gate.ticks())
            gate.metrics.refused_unrecorded(Reason.HTTP_MALFORMED)
            gate.refusals.refused(Reason.HTTP_MALFORMED, source=name, detail=kind)

        return count

    return {
        "data": HttpListener("data", handle, data, limits, malformed("data")),
        "public": HttpListener("public", ConsentPages(gate, handle).handle, public, limits, malformed("public")),
    }


async def start(
    settings: Settings, listeners: Mapping[Listener, HttpListener], health: HealthListener, stack: AsyncExitStack
) -> Ports:
    """Bind all ports; ``stack`` closes them.

    Raises:
        PartError: a port can't be bound.
    """
    listen = settings.listen
    bound: dict[str, int] = {}
    for name, part, at in (
        ("health", health, listen.health),
        ("data", listeners["data"], listen.data),
        ("public", listeners["public"], listen.public),
    ):
        stack.push_async_callback(part.stop)
        try:
            bound[name] = await part.start(at.host, at.port)
        except OSError as error:
            raise PartError(f"listen.{name}: {at.host}:{at.port}: {error.strerror or error}") from None
    return Ports(**bound)
