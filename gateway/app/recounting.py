"""After a start, metrics of policies take up what the audit log says: nothing is lost by a kill that it has."""

import asyncio

from gateway.app.telemetry import Telemetry
from gateway.core.errors import StoreError
from gateway.core.model import PolicyId
from gateway.store.query import AuditReader


async def recount(url: str, telemetry: Telemetry) -> None:
    """Set when each policy in force last determined a decision. Reads the log off the request path, once."""
    try:
        found = await asyncio.to_thread(lambda: AuditReader(url).determined())
    except StoreError as error:
        telemetry.log.error("policies not recounted", reason=error.reason, detail=error.detail)
        return
    for policy, (last, _) in found.items():
        telemetry.metrics.evaluated([PolicyId(policy)], last / 1000)
