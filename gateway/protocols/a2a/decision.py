"""The gateway's decision within an agent's answer. Doesn't say whether the caller may see it, or what is told of it.

A2A 1.0 wraps tasks, messages and updates; in 0.3, and where a task is asked for, the result is one itself.
"""

from collections.abc import Mapping
from typing import Any

from gateway.protocols.a2a.results import EVENTS

DECISION = "hopgate/decision"
"""Member of ``metadata``: the gateway's own, so an agent's is never passed on."""


def with_decision(value: Any, told: Mapping[str, Any] | None) -> Any:
    """The answer with ``told`` in the metadata of its task, message or update, or with none there."""
    result = value.get("result") if isinstance(value, Mapping) else None
    if not isinstance(result, Mapping):
        return value
    for name in EVENTS:
        if isinstance(result.get(name), Mapping):
            return {**value, "result": {**result, name: _marked(result[name], told)}}
    alone = "kind" in result or ("id" in result and "status" in result)
    return {**value, "result": _marked(result, told)} if alone else value


def without_decision(delivery: Mapping[str, Any]) -> Any:
    """What an agent delivers to a webhook, a result by itself, without a decision that only the gateway could tell."""
    return with_decision({"result": delivery}, None)["result"]


def _marked(holder: Mapping[str, Any], told: Mapping[str, Any] | None) -> Mapping[str, Any]:
    metadata = holder.get("metadata")
    known = metadata if isinstance(metadata, Mapping) else {}
    if told is None and DECISION not in known:
        return holder
    others = {name: each for name, each in known.items() if name != DECISION}
    return {**holder, "metadata": others if told is None else {**others, DECISION: told}}
