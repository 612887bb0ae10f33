"""The task and context ids that A2A messages name: what ownership is bound to and checked by.

Doesn't know who owns what: that is ``core.ports.TaskOwners``'.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gateway.core.model import Call

CARRIERS = ("message", "statusUpdate", "artifactUpdate")


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
    task = result if "status" in result else result.get("task")
    if isinstance(task, dict):
        tasks.append(task.get("id"))
        contexts.append(task.get("contextId"))
    for name in CARRIERS:
        carrier = result.get(name)
        if isinstance(carrier, Mapping):
            tasks.append(carrier.get("taskId"))
            contexts.append(carrier.get("contextId"))
    return _ids(tasks, contexts)


def _ids(tasks: list[Any], contexts: list[Any]) -> Ids:
    return Ids(_distinct(tasks), _distinct(contexts))


def _distinct(values: list[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))
