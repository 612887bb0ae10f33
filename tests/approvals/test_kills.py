"""At most once: a gateway killed between any two steps of an approved call, started again, and asked again.

Whatever was sent, was sent once; what may have been sent is never sent again, and says so.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from gateway.core.reasons import Reason
from tests.approving import LARGE, People, approving
from tests.company import Company
from tests.gateways import asgi, serving
from tests.peers.process import ready_line, stop
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import answer_of, bare, call, post, refusal_of

KILLED = Path(__file__).with_name("killed.py")
CALLS = {
    # Nothing was taken: the approval is there, and the call is carried out when it is made again.
    "before decision record": (0, "approved"),
    "after decision record": (0, "approved"),
    "before consumed": (0, "approved"),
    # Taken, not sent, and nobody can know that any more.
    "after consumed": (0, "consumed"),
    "after consumed record": (0, "consumed"),
    "before send": (0, "consumed"),
    "after send": (1, "consumed"),
    "after outcome record": (1, "consumed"),
    "before settled": (1, "consumed"),
    "after settled": (1, "done"),
}
"""Step → calls that reached the upstream, and what became of the approval."""


@asynccontextmanager
async def doomed(company: Company, step: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The gateway that dies at ``step``."""
    log = company.directory / "doomed.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, KILLED, step, company.write(), stdout=output, stderr=asyncio.subprocess.STDOUT
        )
    try:
        await ready_line(process, log, "/readyz")
        yield process
    finally:
        await stop(process)


@pytest.mark.parametrize("step", CALLS)
async def test_nothing_is_sent_twice(tmp_path: Path, step: str) -> None:
    company = approving(tmp_path, hold_seconds=0, settle_seconds=2, again_seconds=600)
    ledger, people = Ledger(), People(company)
    reached, state = CALLS[step]
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]):
        async with doomed(company, step) as gateway, bare(company) as wire:
            await post(wire, call("pay", **LARGE))
            approval = (await people.soon())["id"]
            assert (await people.say("approve")).status_code == 200
            with suppress(httpx2.TransportError):
                await post(wire, call("pay", **LARGE))
            async with asyncio.timeout(10):
                assert await gateway.wait() == -9
        assert len(ledger.calls) == reached
        async with serving(company), bare(company) as wire:
            again = await post(wire, call("pay", **LARGE))
            if state == "approved":
                assert answer_of(again)["result"]["structuredContent"] == {"paid": 5000}
                assert (await people.show(approval))["state"] == "done"
            elif state == "consumed":
                assert refusal_of(again)[2] in (Reason.APPROVAL_SPENT, Reason.APPROVAL_UNKNOWN)
                # Time alone settles it, and it stays so.
                for _ in range(100):
                    if (await people.show(approval))["state"] == "unknown":
                        break
                    await asyncio.sleep(0.05)
                assert refusal_of(await post(wire, call("pay", **LARGE)))[2] == Reason.APPROVAL_UNKNOWN
            else:
                # Carried out and known: the same call is a new question.
                assert refusal_of(again)[2] == Reason.APPROVAL_REQUIRED
        assert len(ledger.calls) == max(reached, 1 if state == "approved" else reached)
