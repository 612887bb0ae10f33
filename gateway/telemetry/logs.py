"""JSON logs, one object a line on stderr, with trace and decision ids, and without secrets.

Nothing global: whoever logs is given a logger. ``StandardLogs`` brings in what libraries log.
"""

import logging
import sys
from collections.abc import Callable
from typing import Literal, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from gateway.telemetry import semconv
from gateway.telemetry.redaction import redact_event

Level = Literal["debug", "info", "warning", "error"]
_LEVELS: dict[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_MOST_KINDS = 256


def new_logger(level: Level, stream: TextIO | None = None) -> FilteringBoundLogger:
    """A logger that writes JSON lines of ``level`` and above to ``stream``, by default stderr as it is now."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr if stream is None else stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact_event,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=False,
    )
    return logger.bind()


def for_hop(logger: FilteringBoundLogger, *, trace_id: str, decision_id: str) -> FilteringBoundLogger:
    """``logger`` with the ids of one hop in every line."""
    bound: FilteringBoundLogger = logger.bind(**{semconv.LOG_TRACE_ID: trace_id, semconv.LOG_DECISION_ID: decision_id})
    return bound


class RefusalLog:
    """Logs refusals that leave no record, or that somebody should look at, a few per kind and interval.

    It says how many it left out. ``clock`` gives seconds that only grow. Kinds past the 256th share one allowance.
    """

    def __init__(
        self,
        logger: FilteringBoundLogger,
        clock: Callable[[], float],
        *,
        per_interval: int = 5,
        interval_seconds: float = 60.0,
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._per_interval = per_interval
        self._interval = interval_seconds
        self._windows: dict[str, _Window] = {}

    def refused(self, reason: str, *, source: str, detail: str = "", event: str = "refused") -> None:
        """One refusal: ``reason`` is its kind, ``source`` the peer's address, or the decision id where there is one."""
        kind = reason if reason in self._windows or len(self._windows) < _MOST_KINDS else "other"
        now = self._clock()
        window = self._windows.setdefault(kind, _Window(now))
        left_out = 0
        if now - window.began >= self._interval:
            left_out = window.count - self._per_interval
            window.began, window.count = now, 0
        window.count += 1
        if window.count <= self._per_interval:
            extra = {"left_out": left_out} if left_out > 0 else {}
            self._logger.warning(event, reason=reason, source=source, detail=detail, **extra)


class _Window:
    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0


class StandardLogs(logging.Handler):
    """Passes the records of ``logging`` on to a structured logger, with its redaction."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record of a library under its logger's name."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        error = record.exc_info if record.exc_info and record.exc_info[0] else None
        self._logger.log(max(record.levelno, logging.DEBUG), message, logger=record.name, exc_info=error)
