"""One running gateway: opens what the settings name, serves until told to stop, closes in the reverse order.

A part that dies takes the process down: half a gate is no gate.
"""

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from gateway import __version__
from gateway.app.ids import new_id
from gateway.app.listeners import Ports, new_listeners, start
from gateway.app.parts import (
    PartError,
    check_card_keys,
    host_names,
    issuers_of,
    material_of,
    public_pair,
    sealing_secret,
    signer_of,
)
from gateway.config.secret_references import SecretError, resolve
from gateway.config.settings import Settings
from gateway.core.audit import CheckpointRecord, encode
from gateway.core.errors import StoreError
from gateway.identity.material import Material
from gateway.identity.seal import AeadSealer, digest_key
from gateway.identity.signer import Signer, metadata
from gateway.identity.svid import Refusal
from gateway.identity.tls import OnRefused, client_context
from gateway.identity.tokens import OwnIssuer, TokenVerifier
from gateway.proxy.gate import Gate
from gateway.proxy.health import HealthListener, Readiness
from gateway.proxy.locate import Allowed
from gateway.proxy.upstream import Upstreams
from gateway.proxy.wellknown import Documents
from gateway.publish import Published
from gateway.store.audit import SqlAuditLog
from gateway.store.audit_file import AuditFile
from gateway.store.bindings import SqlBindings
from gateway.store.checkpoint_key import load_or_create
from gateway.store.sql import audit_path
from gateway.store.state import open_state
from gateway.store.task_owners import SqlTaskOwners
from gateway.store.tool_pins import SqlToolPins
from gateway.telemetry.logs import RefusalLog, StandardLogs, new_logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import Tracing, new_provider

AUDIT_SUSPECT_SECONDS = 10.0


async def serve(
    published: Published, environ: Mapping[str, str], stop: asyncio.Event, on_ready: Callable[[Ports], None]
) -> None:
    """Serve until ``stop`` is set; running hops and streams may finish within ``graceful_stop_seconds``.

    Raises:
        PartError: a certificate, key, secret, port or store can't be used. Nothing was served.
    """
    settings = published.loaded.settings
    async with AsyncExitStack() as stack:
        telemetry = await _telemetry(settings, environ, stack)
        watch = Watch(published)
        audit = _audit(settings, telemetry, watch, stack)
        material = material_of(settings, time.time())
        gate = await _gate(published, environ, audit, telemetry, material, stack)
        public = public_pair(settings, material.own)
        listeners = new_listeners(gate, material, public, telemetry.on_refused("data"))
        health = HealthListener(watch.readiness, telemetry.metrics.render)
        ports = await start(settings, listeners, health, stack)
        async with asyncio.TaskGroup() as tasks:
            recording = tasks.create_task(audit.run())
            policies = [policy.id for policy in published.snapshot.bundle.policies]
            telemetry.metrics.published(published.snapshot.generation, policies)
            watch.serving = True
            on_ready(ports)
            await stop.wait()
            watch.draining = True
            await asyncio.gather(*(listener.drain() for listener in listeners.values()))
            gate.stopping.set()
            await asyncio.gather(*(listener.stop() for listener in listeners.values()))
            recording.cancel()


class Watch:
    """What ``/readyz`` says."""

    def __init__(self, published: Published) -> None:
        self._snapshot = published.snapshot
        self.serving = False
        self.draining = False
        self._audit_failed = float("-inf")

    def audit_failed(self) -> None:
        """A commit failed just now. Without traffic nothing shows that it works again, so this wears off."""
        self._audit_failed = time.monotonic()

    def audit_committed(self) -> None:
        """A commit worked."""
        self._audit_failed = float("-inf")

    def readiness(self) -> Readiness:
        """Ready while serving, not draining, and able to record."""
        checks = {
            "listeners": "draining" if self.draining else "ok" if self.serving else "starting",
            "audit": "failing" if time.monotonic() - self._audit_failed < AUDIT_SUSPECT_SECONDS else "ok",
        }
        ready = all(state == "ok" for state in checks.values())
        return Readiness(ready, self._snapshot.generation, self._snapshot.digest, checks)


class Telemetry(Struct, frozen=True):
    """Logs, metrics and traces of one process."""

    instance: str
    log: FilteringBoundLogger
    refusals: RefusalLog
    metrics: Metrics
    tracing: Tracing

    def on_refused(self, source: str) -> OnRefused:
        """Counts and logs refused handshakes of ``source``."""

        def refused(reason: Refusal, detail: str) -> None:
            self.metrics.handshake_refused(reason)
            self.refusals.refused(reason, source=source, detail=detail)

        return refused


async def _telemetry(settings: Settings, environ: Mapping[str, str], stack: AsyncExitStack) -> Telemetry:
    instance = f"{socket.gethostname()}-{os.getpid()}"
    otlp = settings.telemetry.otlp
    try:
        headers = {} if otlp is None else {name: resolve(ref, environ).decode() for name, ref in otlp.headers.items()}
    except SecretError as error:
        raise PartError(f"telemetry.otlp.headers: {error}") from None
    provider = new_provider(
        version=__version__,
        instance=instance,
        sample_ratio=settings.telemetry.sample_ratio,
        endpoint=None if otlp is None else otlp.endpoint,
        headers=headers,
    )
    tracing = Tracing(provider)
    stack.push_async_callback(asyncio.to_thread, tracing.close)
    log = new_logger(settings.telemetry.log_level)
    library = StandardLogs(log)
    logging.getLogger().addHandler(library)
    stack.callback(logging.getLogger().removeHandler, library)
    return Telemetry(instance, log, RefusalLog(log, time.monotonic), Metrics(__version__), tracing)


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


async def _gate(
    published: Published,
    environ: Mapping[str, str],
    audit: SqlAuditLog,
    telemetry: Telemetry,
    material: Material,
    stack: AsyncExitStack,
) -> Gate:
    settings, limits, log = published.loaded.settings, published.snapshot.limits, telemetry.log
    signer = signer_of(settings)
    check_card_keys(published.snapshot.registry)
    issuers = issuers_of(settings, lambda name, cause: log.warning("issuer keys", issuer=name, detail=cause))
    secret = sealing_secret(settings, environ)
    try:
        state = await open_state(settings.store.url)
    except StoreError as error:
        raise PartError(f"store.url: {error.detail}") from None
    stack.push_async_callback(state.dispose)
    upstreams = Upstreams(lambda peer: client_context(material, peer, telemetry.on_refused("upstream")), limits)
    stack.push_async_callback(upstreams.close)
    own = OwnIssuer(settings.issuer, signer.verification_keys)
    return Gate(
        snapshot=lambda: published.snapshot,
        tokens=TokenVerifier(issuers, own, limits.token_bytes),
        signer=signer,
        sealer=AeadSealer(secret),
        audit=audit,
        bindings=SqlBindings(state),
        tasks=SqlTaskOwners(state),
        pins=SqlToolPins(state),
        upstreams=upstreams,
        tracing=telemetry.tracing,
        metrics=telemetry.metrics,
        log=log,
        refusals=telemetry.refusals,
        documents=_documents(published, signer),
        allowed={
            "data": Allowed(host_names(settings, settings.listen.data.hosts), frozenset(settings.listen.data.origins)),
            "public": Allowed(
                host_names(settings, settings.listen.public.hosts), frozenset(settings.listen.public.origins)
            ),
        },
        issuer=settings.issuer,
        bases={"data": settings.public_url, "public": settings.issuer},
        x5t=material.x5t,
        digest_key=digest_key(secret),
        clock=time.time,
        new_id=new_id,
    )


def _documents(published: Published, signer: Signer) -> Documents:
    settings = published.loaded.settings
    return Documents(
        jwks=signer.jwks(),
        issuer_metadata=metadata(settings.issuer),
        authorization_servers=tuple(issuer.issuer for issuer in settings.issuers),
        scopes_supported=tuple(sorted({scope for issuer in settings.issuers for scope in issuer.scope_map})),
    )
