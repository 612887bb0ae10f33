"""One running gateway: opens what the settings name, serves until told to stop, closes in the reverse order.

A part that dies takes the process down: half a gate is no gate.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.admin.incoming_webhooks import Integration
from gateway.app.administering import Administered, administer
from gateway.app.approvals import sweep
from gateway.app.approved_tools import follow_approvals
from gateway.app.bundles import Bundles
from gateway.app.editions import Editions, decide_timed, end_unvouched
from gateway.app.gate import Shared, new_gate
from gateway.app.identity import STARTING, Identity, Standing
from gateway.app.integrations import integration_of
from gateway.app.jwt_svids import JwtAuthorities
from gateway.app.kernel.half import KernelHalf
from gateway.app.listeners import Ports, new_listeners, start
from gateway.app.parts import PartError, check_bundle_files, check_webhook_keys
from gateway.app.policies import Policies
from gateway.app.recounting import recount
from gateway.app.revoking import Revoking
from gateway.app.signing import Signing
from gateway.app.telemetry import Telemetry, open_telemetry
from gateway.app.webhook_sender import Sender, TellingOffice
from gateway.config.settings import Settings
from gateway.config.watcher import changes
from gateway.core.audit import CheckpointRecord, encode
from gateway.core.errors import StoreError
from gateway.identity.material import Material
from gateway.proxy.gate import Gate
from gateway.proxy.health import HealthListener, Readiness
from gateway.proxy.revoked import Revoked
from gateway.proxy.server import HttpListener
from gateway.proxy.standing import drain
from gateway.publish import Published
from gateway.store.audit import SqlAuditLog
from gateway.store.audit_file import AuditFile
from gateway.store.checkpoint_key import load_or_create
from gateway.store.policy_versions import SqlPolicyVersions
from gateway.store.pulse import Pulse
from gateway.store.revocations import SqlRevocations
from gateway.store.single_use import SqlSingleUse
from gateway.store.sql import audit_path
from gateway.store.state import open_state
from gateway.store.trust_bundles import SqlTrustBundles
from gateway.store.webhook_letters import SqlLetters

AUDIT_SUSPECT_SECONDS = 10.0


class Control(Struct, frozen=True):
    """What a running gateway is told: to stop, or to read its configuration now."""

    stop: asyncio.Event
    reload: asyncio.Event


async def serve(
    path: Path, published: Published, environ: Mapping[str, str], control: Control, on_ready: Callable[[Ports], None]
) -> None:
    """Serve until told to stop; running hops and streams may finish within ``graceful_stop_seconds``.

    ``published`` is what ``path`` held at the start. Changes of its files are taken over as they come.

    Raises:
        PartError: a certificate, key, secret, port or store can't be used. Nothing was served.
    """
    settings = published.loaded.settings
    async with AsyncExitStack() as stack:
        telemetry = await open_telemetry(settings, environ, stack)
        watch = Watch()
        audit = _audit(settings, telemetry, watch, stack)
        identity = Identity(settings, telemetry, watch.identity_is)
        await identity.start()
        state = await _state(settings, stack)
        pulse = Pulse(state)
        signing = Signing(settings, environ, state, telemetry)
        await signing.start()
        editions = Editions(path, published, environ, telemetry, lambda: identity.client.current, signing)
        bundles = await _bundles(settings, identity, state, telemetry)
        revoking = await _revoking(settings, state, telemetry, stack)
        authorities = JwtAuthorities(settings, SqlSingleUse(state), telemetry)
        authorities.start()
        shared = Shared(state, pulse, revoking.revoked, authorities.verifier)
        gate = await new_gate(editions, identity, environ, audit, shared, telemetry, stack)
        check_webhook_keys(settings, environ)
        letters = SqlLetters(state)
        policies = await _policies(settings, state, editions, gate, environ, telemetry, stack)
        kernel = KernelHalf(
            settings,
            environ,
            state,
            lambda: editions.current.snapshot,
            lambda: identity.client.current,
            audit,
            telemetry,
        )
        listeners = new_listeners(gate, identity)
        health = HealthListener(
            lambda: watch.readiness(editions, bundles, revoking.revoked, kernel), telemetry.metrics.render
        )
        ports = await start(settings, listeners, health, stack)

        def integrations(name: str) -> Integration | None:
            return integration_of(editions.published.loaded.settings, name, environ)

        administered = Administered(gate, revoking, policies, kernel, letters, integrations)
        admin = await administer(settings, lambda: editions.admin, administered, identity, telemetry, stack)
        ports = msgspec.structs.replace(ports, admin=admin)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(audit.run()),
                tasks.create_task(pulse.run()),
                tasks.create_task(sweep(gate, telemetry)),
                tasks.create_task(_sender(editions, gate, letters, environ, telemetry).run()),
                tasks.create_task(recount(settings.store.url, telemetry)),
                tasks.create_task(identity.run(lambda: end_unvouched(gate))),
                tasks.create_task(bundles.run()),
                tasks.create_task(revoking.run(gate)),
                tasks.create_task(policies.run()),
                tasks.create_task(signing.run(lambda signer, distrusted: editions.sign_with(gate, signer, distrusted))),
                tasks.create_task(authorities.run()),
                tasks.create_task(kernel.run()),
                tasks.create_task(_watch_time(editions, gate)),
                tasks.create_task(follow_approvals(lambda: editions.current.snapshot, gate.pins, control.reload)),
                tasks.create_task(_follow(editions, identity, authorities, gate, control.reload)),
            ]
            watch.serving = True
            on_ready(ports)
            await control.stop.wait()
            watch.draining = True
            await _stop(gate, listeners.values())
            for task in running:
                task.cancel()


async def _stop(gate: Gate, listeners: Collection[HttpListener]) -> None:
    """Take no more, let what runs come to its end, then close."""
    drain(gate)
    await asyncio.gather(*(listener.drain() for listener in listeners))
    gate.stopping.set()
    await asyncio.gather(*(listener.stop() for listener in listeners))


def _sender(
    editions: Editions, gate: Gate, letters: SqlLetters, environ: Mapping[str, str], telemetry: Telemetry
) -> Sender:
    office = TellingOffice(
        letters=letters,
        approvals=gate.approvals,
        settings=lambda: editions.published.loaded.settings,
        client=lambda: editions.current.webhooks,
        link_base=lambda: editions.current.approvals.url,
        link_key=gate.digest_key,
        environ=environ,
        clock=time.time,
        metrics=telemetry.metrics.webhooks,
        log=telemetry.log,
    )
    return Sender(office)


async def _watch_time(editions: Editions, gate: Gate) -> None:
    """Decide open streams again whose permits read the time."""
    while True:
        await asyncio.sleep(editions.current.snapshot.limits.decide_again_seconds)
        decide_timed(gate, editions.current.snapshot)


async def _follow(
    editions: Editions, identity: Identity, authorities: JwtAuthorities, gate: Gate, asked: asyncio.Event
) -> None:
    """Take over configuration and certificates as their files change."""
    async for _ in changes(editions.files, asked):
        await editions.reload(gate)
        await identity.reload()
        await authorities.reload()


class Watch:
    """What ``/readyz`` says."""

    def __init__(self) -> None:
        self.serving = False
        self.draining = False
        self._identity = STARTING
        self._audit_failed = float("-inf")

    def identity_is(self, standing: Standing) -> None:
        """How it stands with the gateway's own SVID now."""
        self._identity = standing

    def audit_failed(self) -> None:
        """A commit failed just now. Without traffic nothing shows that it works again, so this wears off."""
        self._audit_failed = time.monotonic()

    def audit_committed(self) -> None:
        """A commit worked."""
        self._audit_failed = float("-inf")

    def readiness(self, editions: Editions, bundles: Bundles, revoked: Revoked, kernel: KernelHalf) -> Readiness:
        """Ready while serving, not draining, with an SVID, able to record, and aware of what is revoked."""
        listeners = "draining" if self.draining else "ok" if self.serving else "starting"
        audit = "failing" if time.monotonic() - self._audit_failed < AUDIT_SUSPECT_SECONDS else "ok"
        revocations = "ok" if revoked.current else "unknown"
        checks = {
            "identity": self._identity.detail,
            "listeners": listeners,
            "audit": audit,
            "revocations": revocations,
        }
        if bundles.said() != "ok":
            # Not a reason to take the instance away: whoever isn't of those domains is served.
            checks["trust_bundles"] = bundles.said()
        if kernel.said != "ok":
            # Calls are judged all the same: it is the agents' machines that differ.
            checks["kernel"] = kernel.said
        # All instances of a host share its agent: one that can't renew yet must not take all of them away.
        ready = self._identity.usable and listeners == audit == revocations == "ok"
        snapshot = editions.current.snapshot
        return Readiness(ready, snapshot.generation, snapshot.digest, editions.state, checks)


def _audit(settings: Settings, telemetry: Telemetry, watch: Watch, stack: AsyncExitStack) -> SqlAuditLog:
    path = audit_path(settings.store.url)
    try:
        signer = load_or_create(path.with_name(f"{path.name}.checkpoint.pem"))
        file = AuditFile(path, f"{telemetry.instance}/0/{uuid.uuid4().hex}", signer)
    except (StoreError, OSError, ValueError) as error:
        raise PartError(f"store.url: {error}") from None
    stack.callback(lambda: None if file.closed else file.close())

    def committed(records: int, seconds: float) -> None:
        watch.audit_committed()
        telemetry.metrics.audit_committed(records, seconds)

    def failed(error: StoreError) -> None:
        watch.audit_failed()
        telemetry.metrics.audit_failed()
        telemetry.log.error("audit commit failed", reason=error.reason, detail=error.detail)

    exported = path.with_name(f"{path.name}.checkpoints.jsonl")

    def checkpointed(checkpoint: CheckpointRecord) -> None:
        try:
            with exported.open("ab") as lines:
                lines.write(encode(checkpoint) + b"\n")
        except OSError as error:
            telemetry.log.error("checkpoint not exported", detail=error.strerror)

    audit = SqlAuditLog(file, on_commit=committed, on_failure=failed, on_checkpoint=checkpointed)
    telemetry.metrics.audit_pending(lambda: audit.waiting)
    return audit


async def _state(settings: Settings, stack: AsyncExitStack) -> AsyncEngine:
    try:
        state = await open_state(settings.store.url)
    except StoreError as error:
        raise PartError(f"store.url: {error.detail}") from None
    stack.push_async_callback(state.dispose)
    return state


async def _bundles(settings: Settings, identity: Identity, state: AsyncEngine, telemetry: Telemetry) -> Bundles:
    def material() -> Material | None:
        return identity.material

    sources = settings.federation.bundles
    check_bundle_files(settings)
    bundles = Bundles(sources, SqlTrustBundles(state), material, identity.federate, telemetry, time.time)
    await bundles.start()
    return bundles


async def _revoking(settings: Settings, state: AsyncEngine, telemetry: Telemetry, stack: AsyncExitStack) -> Revoking:
    store = SqlRevocations(state, settings.store.path)
    stack.push_async_callback(asyncio.to_thread, store.close)
    revoking = Revoking(store, telemetry)
    await revoking.start()
    return revoking


async def _policies(
    settings: Settings,
    state: AsyncEngine,
    editions: Editions,
    gate: Gate,
    environ: Mapping[str, str],
    telemetry: Telemetry,
    stack: AsyncExitStack,
) -> Policies:
    store = SqlPolicyVersions(state, settings.store.path)
    stack.callback(store.close)
    policies = Policies(store, editions, gate, environ, telemetry)
    await policies.start()
    return policies
