"""The task and context ids that A2A messages name: what ownership is bound to and checked by.

Doesn't know who owns what: that is ``core.ports.TaskOwners``'.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.core.model import Call

WRAPPED = ("task", "message", "statusUpdate", "artifactUpdate")
"""What A2A 1.0 wraps in a result, and 0.3 doesn't."""


class Ids(Struct, frozen=True):
    """Ids in the order in which they are found, each once."""

    tasks: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()


def named_ids(call: Call) -> Ids:
    """The ids that the caller names, and so must own: the task, its context, and what it refers to."""
    params = call.message.get("params", {})
    message = params.get("message")
    if not isinstance(message, dict):
        return _ids([call.target], [params.get("contextId")])
    tasks = [call.target, message.get("taskId"), *(message.get("referenceTaskIds") or ())]
    return _ids(tasks, [message.get("contextId")])


def task_ids(value: Any) -> Ids:
    """The ids in one answer of the upstream, already classified: they belong to the caller from now on."""
    result = value.get("result") if isinstance(value, dict) else None
    if not isinstance(result, dict):
        return Ids()
    tasks, contexts = [], []
    for carrier in (result, *(result.get(name) for name in WRAPPED)):
        if isinstance(carrier, Mapping):
            tasks += [carrier.get("taskId"), carrier.get("id") if _is_task(carrier) else None]
            contexts.append(carrier.get("contextId"))
    return _ids(tasks, contexts)


def _is_task(value: Mapping[str, Any]) -> bool:
    """A task has its id and a status; an update of its status names it by ``taskId``."""
    return "status" in value and "taskId" not in value


def _ids(tasks: list[Any], contexts: list[Any]) -> Ids:
    return Ids(_distinct(tasks), _distinct(contexts))


def _distinct(values: list[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))
