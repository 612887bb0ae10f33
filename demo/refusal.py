"""Reading a gateway's refusal out of the errors that the official SDKs raise.

MCP: the SDK hands on the JSON-RPC error with its ``data``. A2A: the SDK raises on the HTTP status and keeps the
answer, with the JSON-RPC error in its body, as the error's cause. Anything else is no refusal, and stays an error.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from a2a.utils.errors import A2AError
from mcp.shared.exceptions import MCPError


@dataclass(frozen=True)
class Refusal:
    """Why the gateway refused a hop; ``hop`` says which, as its caller names it."""

    hop: str
    reason: str
    message: str = ""
    decision_id: str = ""

    def as_fact(self) -> dict[str, str]:
        """Plain values for an A2A data part."""
        return asdict(self)

    @classmethod
    def from_fact(cls, fact: Mapping[str, Any]) -> "Refusal":
        """The refusal that ``as_fact`` wrote."""
        return cls(**{name: str(fact.get(name, "")) for name in ("hop", "reason", "message", "decision_id")})


class RefusedError(Exception):
    """The gateway refused a hop."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.hop}: {refusal.reason}")
        self.refusal = refusal


@contextmanager
def refusals(hop: str) -> Iterator[None]:
    """Turn an SDK error that carries the gateway's refusal of ``hop`` into ``RefusedError``; others pass."""
    try:
        yield
    except (MCPError, A2AError, ExceptionGroup) as error:
        refusal = _find(error, hop)
        if refusal is None:
            raise
        raise RefusedError(refusal) from error


def _find(error: BaseException, hop: str) -> Refusal | None:
    if isinstance(error, ExceptionGroup):
        return next((found for inner in error.exceptions if (found := _find(inner, hop))), None)
    if isinstance(error, MCPError):
        return _read(error.data, error.message, hop)
    if isinstance(error.__cause__, httpx.HTTPStatusError):
        return _read_body(error.__cause__.response, hop)
    return None


def _read_body(response: httpx.Response, hop: str) -> Refusal | None:
    try:
        body = response.json()
    except ValueError:
        return None
    problem = body.get("error") if isinstance(body, dict) else None
    if not isinstance(problem, dict):
        return None
    return _read(problem.get("data", problem), str(problem.get("message", "")), hop)


def _read(data: Any, message: str, hop: str) -> Refusal | None:
    if not isinstance(data, dict) or "reason" not in data:
        return None
    return Refusal(hop, str(data["reason"]), message, str(data.get("decision_id", "")))
