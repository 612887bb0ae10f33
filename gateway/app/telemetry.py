"""Logs, metrics and traces of one process, opened from the settings."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from gateway import __version__
from gateway.app.parts import PartError
from gateway.config.secret_references import SecretError, resolve
from gateway.config.settings import Settings
from gateway.identity.svid import Refusal
from gateway.identity.tls import OnRefused
from gateway.telemetry.logs import RefusalLog, StandardLogs, new_logger
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import Tracing, new_provider


class Telemetry(Struct, frozen=True):
    """What the process says of itself."""

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

    def on_issuer_failure(self, name: str, cause: str) -> None:
        """Logs that an issuer's keys could not be had."""
        self.log.warning("issuer keys", issuer=name, detail=cause)


async def open_telemetry(settings: Settings, environ: Mapping[str, str], stack: AsyncExitStack) -> Telemetry:
    """Open all of it; ``stack`` closes it.

    Raises:
        PartError: a header's secret can't be had.
    """
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
