"""Approvals of one process: their terms from the settings, and what time alone ends."""

import asyncio
from urllib.parse import urlsplit

from gateway.app.telemetry import Telemetry
from gateway.config.settings import Settings
from gateway.core.approval import GroupTerms, Terms
from gateway.core.errors import StoreError
from gateway.proxy.gate import Gate
from gateway.proxy.hold import closed

SWEEP_SECONDS = 2.0
DAY_MS = 86_400_000
AT_ONCE = 200


def approval_terms(settings: Settings) -> Terms:
    """How approvals are asked for and used."""
    found = settings.approvals
    return Terms(
        decide_seconds=found.decide_seconds,
        use_seconds=found.use_seconds,
        hold_seconds=found.hold_seconds,
        again_seconds=found.again_seconds,
        settle_seconds=found.settle_seconds,
        keep_days=found.keep_days,
        pending_per_caller=found.pending_per_caller,
        argument_bytes=found.argument_bytes,
        url=found.url or _by_default(settings),
        groups={
            name: GroupTerms(
                quorum=each.quorum, escalate_to=each.escalate_to, escalate_seconds=each.escalate_seconds or 0
            )
            for name, each in found.groups.items()
        },
    )


async def sweep(gate: Gate, telemetry: Telemetry) -> None:
    """Close what has lapsed, with its record, and erase its arguments; until cancelled."""
    failing = False
    while True:
        try:
            await close_lapsed(gate)
            failing = False
        except StoreError as error:
            # Once, not every two seconds. Whoever reads an approval applies the time as well.
            if not failing:
                telemetry.log.error("approvals", reason=error.reason, detail=error.detail)
            failing = True
        await asyncio.sleep(SWEEP_SECONDS)


async def close_lapsed(gate: Gate) -> None:
    """Close what has lapsed by now, and delete what ended long ago.

    Raises:
        StoreError: the store can't be asked, or a record not be written.
    """
    now = int(gate.clock() * 1000)
    for approval in await gate.approvals.lapsed(now // 1000, AT_ONCE):
        await closed(gate, approval, now)
    await gate.approvals.forget(now - gate.edition().approvals.keep_days * DAY_MS)


def _by_default(settings: Settings) -> str | None:
    admin = settings.listen.admin
    if admin is None or admin.port == 0:
        return None
    return f"https://{urlsplit(settings.public_url).hostname}:{admin.port}"
