"""The gateway's decision within an MCP result. Doesn't say whether the caller may see it, or what is told of it."""

from collections.abc import Mapping
from typing import Any

DECISION = "hopgate/decision"
"""Member of a result's ``_meta``: the gateway's own, so a server's is never passed on."""


def with_decision(value: Any, told: Mapping[str, Any] | None) -> Any:
    """The answer with ``told`` in its result's ``_meta``, or with none there; other messages as they are."""
    result = value.get("result") if isinstance(value, Mapping) else None
    if not isinstance(result, Mapping):
        return value
    meta = result.get("_meta", {})
    if not isinstance(meta, Mapping) or (told is None and DECISION not in meta):
        return value
    others = {name: each for name, each in meta.items() if name != DECISION}
    return {**value, "result": {**result, "_meta": others if told is None else {**others, DECISION: told}}}
