"""What a running gateway says of itself: on its health port, and to a connection that stays open."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.company import Company
from tests.wire.mcp_calls import Wire, call, post, refusal_of

SECONDS = 10.0
WITHDRAWN = ("trust_withdrawn", "identity_unavailable")
"""How a live connection is refused without an SVID; the second where it went while the hop was decided."""


async def ready(company: Company) -> tuple[int, dict[str, Any]]:
    """Status and body of ``/readyz``."""
    async with httpx2.AsyncClient() as http:
        found = await http.get(f"http://127.0.0.1:{company.health_port}/readyz")
    return found.status_code, dict(found.json())


async def until(company: Company, holds: Callable[[dict[str, Any]], bool]) -> tuple[int, dict[str, Any]]:
    """The first of them for which ``holds``."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = await ready(company)
            if holds(found[1]):
                return found
            await asyncio.sleep(0.05)


async def metric(company: Company, name: str) -> float:
    """The sum of the samples of this name; fails where it is unknown."""
    async with httpx2.AsyncClient() as http:
        text = (await http.get(f"http://127.0.0.1:{company.health_port}/metrics")).text
    families = [each for each in text_string_to_metric_families(text) if name.removesuffix("_total") == each.name]
    assert families, f"{name} is not exposed"
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


async def reason_once_refused(wire: Wire) -> str:
    """Call on one connection, never idle for long, until a call is refused."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await post(wire, call("read_balance"))
            if answer.status_code != 200:
                return refusal_of(answer)[2]
            await asyncio.sleep(0.05)
