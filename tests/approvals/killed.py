"""``hopgate serve`` that kills itself at one named step of an approved call: ``python killed.py STEP CONFIG``.

The steps are the real ones of the real gateway; before or after one of them, the process is gone at once.
"""

import functools
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gateway.cli import main
from gateway.core.approval import Approval
from gateway.core.audit import ApprovalRecord, DecisionRecord, OutcomeRecord
from gateway.proxy import forward
from gateway.store.approvals import SqlApprovals
from gateway.store.audit import SqlAuditLog

ARMED = "armed"
"""The file beside the settings without which nothing dies."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def is_armed(file: Path) -> bool:
    return file.exists()


def around(owner: Any, name: str, when: str, which: Callable[..., bool], armed: Path) -> None:
    """Die before or after the call of ``owner.name`` that ``which`` picks."""
    real: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @functools.wraps(real)
    async def deadly(*arguments: Any, **named: Any) -> Any:
        meant = which(*arguments) and is_armed(armed)
        if meant and when == "before":
            die()
        found = await real(*arguments, **named)
        if meant:
            die()
        return found

    setattr(owner, name, deadly)


def arm(step: str, armed: Path) -> None:
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

    match what or when:
        case "never":
            return
        case "decision record":
            around(SqlAuditLog, "append", when, decision, armed)
        case "consumed":
            around(SqlApprovals, "replace", when, to("consumed"), armed)
        case "consumed record":
            around(SqlAuditLog, "append", when, consumed, armed)
        case "send":
            around(forward, "dispatch", when, sent, armed)
        case "outcome record":
            around(SqlAuditLog, "append", when, outcome, armed)
        case "settled":
            around(SqlApprovals, "replace", when, to("done"), armed)
        case _:
            raise SystemExit(f"no step {step!r}")


if __name__ == "__main__":
    arm(sys.argv[1], Path(sys.argv[2]).with_name(ARMED))
    main(["serve", "--config", sys.argv[2]])
