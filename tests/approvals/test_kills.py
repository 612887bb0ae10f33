"""At most once: a gateway killed between any two steps of an approved call, started again, and asked again.

Whatever was sent, was sent once; what may have been sent is never sent again, and says so.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from gateway.core.reasons import Reason
from tests.approvals.killed import ARMED
from tests.approving import People, approving
from tests.company import Company
from tests.gateways import asgi
from tests.peers.process import ready_line, stop
from tests.wire.ledger import Ledger
from tests.wire.mcp_calls import Wire, answer_of, bare, call, post, refusal_of

KILLED = Path(__file__).with_name("killed.py")
STEPS = {
    # Taken, not sent or sent, and nobody can know that any more.
    "after consumed": (0, "consumed"),
    "before send": (0, "consumed"),
    "after send": (1, "consumed"),
    "before settled": (1, "consumed"),
    # Nothing was taken: the approval is there, and the call is carried out when it is made again.
    "before decision record": (0, "approved"),
    "before consumed": (0, "approved"),
    # Carried out, and known.
    "after settled": (1, "done"),
}
"""The last step → calls that reached the upstream by then, and what became of the approval."""


@asynccontextmanager
async def doomed(company: Company, step: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A gateway that kills itself at ``step``, once the test has armed it."""
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


async def checked(people: People, wire: Wire, payment: dict[str, Any], approval: str, state: str) -> None:
    """Ask for the same payment again, of a gateway that was started after the kill."""
    again = await post(wire, call("pay", **payment))
    match state:
        case "approved":
            assert answer_of(again)["result"]["structuredContent"] == {"paid": payment["amount"]}
            assert (await people.show(approval))["state"] == "done"
        case "consumed":
            assert refusal_of(again)[2] in (Reason.APPROVAL_SPENT, Reason.APPROVAL_UNKNOWN)
        case "done":
            assert refusal_of(again)[2] == Reason.APPROVAL_REQUIRED


async def test_nothing_is_sent_twice(tmp_path: Path) -> None:
    company = approving(tmp_path, hold_seconds=0, settle_seconds=1, again_seconds=600)
    ledger, people = Ledger(), People(company)
    armed = company.directory / ARMED
    before: tuple[dict[str, Any], str, str] | None = None
    unknown: list[tuple[dict[str, Any], str]] = []
    steps: list[tuple[str, int, str]] = [(step, *found) for step, found in STEPS.items()]
    async with asgi(ledger.application, company, "server/ledger", company.upstreams["ledger"]):
        # Each gateway is the one that the step before is checked with, and then dies at its own.
        for number, (step, reached, state) in enumerate([*steps, ("never", 0, "")]):
            payment = {"amount": 5000 + number, "to": "acme"}
            async with doomed(company, step) as gateway, bare(company) as wire:
                if before is not None:
                    await checked(people, wire, *before)
                if step == "never":
                    for payment, approval in unknown:
                        assert (await people.show(approval))["state"] == "unknown"
                        assert refusal_of(await post(wire, call("pay", **payment)))[2] == Reason.APPROVAL_UNKNOWN
                    break
                await post(wire, call("pay", **payment))
                approval = next(each["id"] for each in await people.waiting() if not each["votes"])
                assert (await people.say("approve", approval=approval)).status_code == 200
                armed.touch()
                with suppress(httpx2.TransportError):
                    await post(wire, call("pay", **payment))
                async with asyncio.timeout(10):
                    assert await gateway.wait() == -9, step
                armed.unlink()
            assert ledger.calls.count(("pay", payment)) == reached, step
            before = payment, approval, state
            unknown += [(payment, approval)] if state == "consumed" else []
    sent = [ledger.calls.count(("pay", {"amount": 5000 + number, "to": "acme"})) for number in range(len(steps))]
    assert sent == [1 if state == "approved" else reached for _, reached, state in steps]
