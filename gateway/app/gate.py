"""The gate of the data path, put together from its parts."""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.app.editions import Editions
from gateway.app.identity import Identity
from gateway.app.ids import new_id
from gateway.app.parts import sealing_secret
from gateway.app.telemetry import Telemetry
from gateway.app.third_parties import third_parties
from gateway.app.webhook_sender import telling
from gateway.config.settings import Settings
from gateway.core.metering import Metering
from gateway.core.model import SpiffeId
from gateway.core.ports import AuditLog
from gateway.identity.flights import owning
from gateway.identity.jwt_svid import JwtSvids
from gateway.identity.mint_cache import MintCache
from gateway.identity.seal import AeadSealer, digest_key
from gateway.proxy.callers import Mesh
from gateway.proxy.gate import Gate
from gateway.proxy.revoked import Revoked
from gateway.proxy.trust_bundle import Document, OwnBundle
from gateway.proxy.upstream import Upstreams
from gateway.store.approvals import SqlApprovals
from gateway.store.bindings import SqlBindings
from gateway.store.handles import SqlHandles
from gateway.store.live_chains import SqlLiveChains
from gateway.store.pulse import Pulse
from gateway.store.single_use import SqlSingleUse
from gateway.store.task_owners import SqlTaskOwners
from gateway.store.tool_pins import SqlToolPins
from gateway.store.trust_bundles import SqlTrustBundles


class Shared(Struct, frozen=True):
    """The state that all processes of a deployment share, and what this one knows of it."""

    state: AsyncEngine
    pulse: Pulse
    revoked: Revoked
    jwt_svids: JwtSvids | None


async def new_gate(
    editions: Editions,
    identity: Identity,
    environ: Mapping[str, str],
    audit: AuditLog,
    shared: Shared,
    telemetry: Telemetry,
    stack: AsyncExitStack,
) -> Gate:
    """The gate of one process; ``stack`` closes its parts.

    Raises:
        PartError: the sealing secret can't be had.
    """
    state, settings = shared.state, editions.published.loaded.settings
    secret = sealing_secret(settings, environ)
    sealer = AeadSealer(secret)
    tasks = await stack.enter_async_context(owning())
    upstreams = Upstreams()
    metering = Metering(settings.quotas.counters)
    telemetry.metrics.watch_counts(metering.sizes)
    stack.push_async_callback(upstreams.close)
    return Gate(
        edition=lambda: editions.current,
        client=lambda: identity.client.current,
        sealer=sealer,
        audit=audit,
        bindings=SqlBindings(state, shared.pulse),
        live_chains=SqlLiveChains(state),
        handles=SqlHandles(state),
        single_use=SqlSingleUse(state),
        tasks=SqlTaskOwners(state),
        approvals=SqlApprovals(state, telling(lambda: editions.published.loaded.settings, time.time)),
        pins=SqlToolPins(state),
        revoked=shared.revoked,
        metering=metering,
        mint_cache=MintCache(),
        upstreams=upstreams,
        third_parties=third_parties(settings, environ, sealer, state, tasks),
        tracing=telemetry.tracing,
        metrics=telemetry.metrics,
        log=telemetry.log,
        refusals=telemetry.refusals,
        digest_key=digest_key(secret),
        clock=time.time,
        new_id=new_id,
        own_bundle=_own_bundle(settings, identity, state),
        jwt_svids=shared.jwt_svids,
        mesh=Mesh(frozenset(map(SpiffeId, settings.listen.data.mesh)), identity.server.trusts),
    )


def _own_bundle(settings: Settings, identity: Identity, state: AsyncEngine) -> Document | None:
    served = settings.federation.own_bundle
    if not served.serve:
        return None
    domain, store = settings.identity.trust_domain, SqlTrustBundles(state)
    return OwnBundle(domain, served.refresh_hint_seconds, lambda: identity.material, store, time.time).document
