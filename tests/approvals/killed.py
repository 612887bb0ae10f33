"""``hopgate serve`` that kills itself at one named step of an approved call: ``python killed.py STEP CONFIG``.

The steps are the real ones of the real gateway; before or after one of them, the process is gone at once.
"""

import functools
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.cli import main
from gateway.core.approval import Approval
from gateway.core.audit import ApprovalRecord, DecisionRecord, OutcomeRecord
from gateway.proxy import forward
from gateway.store.approvals import SqlApprovals
from gateway.store.audit import SqlAuditLog

STEPS = (
    "before decision record", "after decision record", "before consumed", "after consumed", "after consumed record",
    "before send", "after send", "after outcome record", "before settled", "after settled",
)  # fmt: skip


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, name: str, when: str, which: Callable[..., bool]) -> None:
    """Die before or after the call of ``owner.name`` that ``which`` picks."""
    real: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @functools.wraps(real)
    async def deadly(*arguments: Any, **named: Any) -> Any:
        meant = which(*arguments)
        if meant and when == "before":
            die()
        found = await real(*arguments, **named)
        if meant:
            die()
        return found

    setattr(owner, name, deadly)


def arm(step: str) -> None:
    """Make ``step`` the last thing that the process does."""
    when, _, what = step.partition(" ")

    def to(state: str) -> Callable[..., bool]:
        def is_it(_: Any, before: Approval, after: Approval) -> bool:
            return after.state == state

        return is_it

    def decision(_: Any, record: Any, *__: Any) -> bool:
        return isinstance(record, DecisionRecord) and record.approval is not None

    def consumed(_: Any, record: Any, *__: Any) -> bool:
        return isinstance(record, ApprovalRecord) and record.event == "consumed"

    used: list[str] = []

    def outcome(_: Any, record: Any, *__: Any) -> bool:
        if consumed(_, record):
            used.append(record.hop)
        return isinstance(record, OutcomeRecord) and record.hop in used

    def sent(_: Any, __: Any, grant: Any, *___: Any) -> bool:
        return grant.hop.given is not None

    match what:
        case "decision record":
            around(SqlAuditLog, "append", when, decision)
        case "consumed":
            around(SqlApprovals, "replace", when, to("consumed"))
        case "consumed record":
            around(SqlAuditLog, "append", when, consumed)
        case "send":
            around(forward, "dispatch", when, sent)
        case "outcome record":
            around(SqlAuditLog, "append", when, outcome)
        case "settled":
            around(SqlApprovals, "replace", when, to("done"))
        case _:
            raise SystemExit(f"no step {step!r}")


if __name__ == "__main__":
    arm(sys.argv[1])
    main(["serve", "--config", sys.argv[2]])
