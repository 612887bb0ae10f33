"""An approval and words on it, for tests."""

from typing import Any

from gateway.core.approval import Approval, Need, Vote
from gateway.core.model import Uid

NOW = 1_800_000_000_000
"""Unix milliseconds."""


def an_approval(**changes: Any) -> Approval:
    """One that waits for one of finance-leads, for an hour."""
    found: dict[str, Any] = {
        "id": "a", "binding": "binding", "whose": "corp|maria planner", "sub": "corp|maria",
        "actors": ("spiffe://demo.test/agent/planner",), "agents": ("planner",), "owners": ("corp|olga",),
        "route": "/mcp/ledger", "protocol": "mcp", "method": "tools/call", "action": "invokeTool",
        "resource": Uid("Tool", "ledger/pay"), "also": (), "arguments": "d",
        "needs": (Need(group="finance-leads", quorum=1),),
        "policies": ("large-payments",), "purpose": None, "hop": "h", "txn": "t", "asked_at": NOW,
        "decide_by": NOW // 1000 + 3600, "use_seconds": 600,
    } | changes  # fmt: skip
    return Approval(**found)


def yes(name: str, *groups: str, at: int = NOW, said: bool = True) -> Vote:
    """The word of a member of these groups."""
    by = f"corp|{name}"
    return Vote(by=by, at=at, yes=said, groups=groups or ("finance-leads",), user=Uid("User", by))
