"""What an agent answers, in the one spelling and with the ids that ownership rests on, for A2A 1.0 and 0.3.

Doesn't say whose a task is, and doesn't read cards.
"""

from collections.abc import Container, Mapping
from typing import Any

from gateway.core.model import Call
from gateway.protocols.a2a import shapes_0_3
from gateway.protocols.a2a.methods import UNVERSIONED
from gateway.protocols.a2a.shapes import RESULTS, Shape, normal
from gateway.protocols.jsonrpc import malformed_answer
from gateway.protocols.members import AmbiguousMemberError

EVENTS = ("task", "message", "statusUpdate", "artifactUpdate")
"""Of which a sent message's answer, and each event of a stream, has one."""


def read_result(call: Call, result: Any) -> Any:
    """The result of a call that is neither a card's nor refused; a task that was asked for is the one answered.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED.
    """
    if call.action == "deletePushConfig":
        # Some agents answer with null, some with an empty object; there is nothing to say.
        return None if call.version == UNVERSIONED else {}
    if call.version == UNVERSIONED and call.action in ("createPushConfig", "getPushConfig", "listPushConfigs"):
        return _read_configs_0_3(call, result)
    if not isinstance(result, dict):
        raise malformed_answer("a result that is not an object")
    wanted = None if call.action in ("delegate", "listTasks") else call.target
    if call.version == UNVERSIONED:
        return _read_0_3(call.method, result, wanted)
    shape = RESULTS[call.method]
    named = _named(result, shape)
    if call.action == "listTasks":
        _check_tasks(named)
    elif call.action == "listPushConfigs":
        _check_configs(named, call.target)
    elif call.action in ("createPushConfig", "getPushConfig"):
        _check_config(named, call.target)
    elif shape.inner.keys() & set(EVENTS):
        _check_wrapped(named, shape.inner, wanted)
    else:
        _check_event("task", named, wanted)
    return named


def _read_0_3(method: str, result: Mapping[str, Any], wanted: str | None) -> Mapping[str, Any]:
    kinds = shapes_0_3.RESULTS[method]
    kind = result.get("kind", kinds[0] if len(kinds) == 1 else None)
    if kind not in kinds:
        raise malformed_answer(f"a result whose kind is none of {', '.join(kinds)}")
    named = _named(result, shapes_0_3.KINDS[kind])
    _check_event(kind, named, wanted)
    return named


def _read_configs_0_3(call: Call, result: Any) -> Any:
    """One configuration within its task's, or an array of them."""
    found = result if call.action == "listPushConfigs" else [result]
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise malformed_answer("push notification configurations that are none")
    named = [_named(each, shapes_0_3.SET_PUSH_CONFIG) for each in found]
    for each in named:
        _check_config({"taskId": call.target, **_config_in(each)}, call.target)
    return named if call.action == "listPushConfigs" else named[0]


def _config_in(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    config = holder.get("pushNotificationConfig")
    task = {"taskId": holder["taskId"]} if "taskId" in holder else {}
    return {**(config if isinstance(config, dict) else {}), **task}


def _named(result: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    try:
        named: dict[str, Any] = normal(result, shape)
    except AmbiguousMemberError as error:
        raise malformed_answer(f"a result with {error}") from None
    return named


def _check_tasks(result: dict[str, Any]) -> None:
    """A page may be empty, and protobuf leaves empty lists out."""
    tasks = result.setdefault("tasks", [])
    if not isinstance(tasks, list):
        raise malformed_answer("a list of tasks that is not an array")
    for task in tasks:
        _check_event("task", task, None)


def _check_configs(result: dict[str, Any], task: str) -> None:
    configs = result.setdefault("configs", [])
    if not isinstance(configs, list):
        raise malformed_answer("push notification configurations that are not an array")
    for config in configs:
        _check_config(config, task)


def _check_config(config: Any, task: str) -> None:
    if not isinstance(config, dict) or not isinstance(config.get("url"), str):
        raise malformed_answer("a push notification configuration without url")
    if config.get("taskId", task) != task:
        raise malformed_answer("a push notification configuration of another task")


def _check_wrapped(result: Mapping[str, Any], known: Container[str], wanted: str | None) -> None:
    present = [name for name in EVENTS if name in known and result.get(name) is not None]
    if len(present) != 1:
        raise malformed_answer("a result without exactly one task, message or update")
    _check_event(present[0], result[present[0]], wanted)


def _check_event(kind: str, event: Any, wanted: str | None) -> None:
    if not isinstance(event, dict):
        raise malformed_answer(f"a {kind} that is not an object")
    if kind == "task" and not (isinstance(event.get("id"), str) and isinstance(event.get("status"), dict)):
        raise malformed_answer("a task without id and status")
    named = event["id"] if kind == "task" else event.get("taskId", wanted)
    if wanted is not None and named != wanted:
        raise malformed_answer(f"a {kind} of another task than the one asked for")
