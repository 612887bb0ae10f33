"""Push notifications of A2A: the webhook that a call sets, configurations in answers, and what is delivered.

Pure reading and rewriting. Doesn't decide where a webhook may lead, seal anything, or send.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, structs

from gateway.core.errors import ProtocolError
from gateway.core.model import Call, Uid
from gateway.core.reasons import Reason
from gateway.protocols.a2a.methods import CURRENT, UNVERSIONED
from gateway.protocols.a2a.results import EVENTS
from gateway.protocols.a2a.shapes import STREAMED, normal
from gateway.protocols.a2a.shapes_0_3 import KINDS
from gateway.protocols.base import INVALID_PARAMS, INVALID_REQUEST
from gateway.protocols.members import AmbiguousMemberError

DELIVERY_METHOD = "PushNotification"
"""The name that records give a delivery; A2A has no such method."""
IN_MESSAGE = "taskPushNotificationConfig"
OLDER = "pushNotificationConfig"
"""How messages and configurations of 0.3 name one."""
ONE_CONFIG = ("createPushConfig", "getPushConfig")
MOST_URL_CHARS, MOST_SECRET_CHARS = 2048, 1024


class Webhook(Struct, frozen=True):
    """Where a client wants to be notified, and how it knows the notifications. All but ``url`` are its secrets."""

    url: str
    token: str = ""
    scheme: str = ""
    credentials: str = ""

    def __repr__(self) -> str:
        return "Webhook()"


def webhook_of(call: Call) -> Webhook | None:
    """The webhook that the call sets, if it does.

    Raises:
        ProtocolError: MESSAGE_INVALID.
    """
    config = _config_of(call)
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise _invalid(call, "the push notification configuration is not an object")
    authentication = config.get("authentication") or {}
    if not isinstance(authentication, Mapping):
        raise _invalid(call, "its authentication is not an object")
    url = _text(call, config, "url", MOST_URL_CHARS)
    if not url:
        raise _invalid(call, "the push notification configuration has no url")
    return Webhook(
        url,
        _text(call, config, "token", MOST_SECRET_CHARS),
        _text(call, _one_scheme(call, authentication), "scheme", MOST_SECRET_CHARS),
        _text(call, authentication, "credentials", MOST_SECRET_CHARS),
    )


def without_secrets(call: Call) -> Mapping[str, Any]:
    """The call's parameters as a record may keep them."""
    config, params = _config_of(call), call.message["params"]
    if not isinstance(config, Mapping):
        return dict(params)
    shown = {name: value for name, value in config.items() if name not in ("token", "authentication")}
    return _placed(call, shown)


def with_webhook(call: Call, url: str) -> Call:
    """The call with ``url`` as its webhook, and nothing that only the client's own webhook should learn."""
    config = {name: value for name, value in (_config_of(call) or {}).items() if name in ("id", "taskId", "tenant")}
    params = _placed(call, {**config, "url": url})
    return structs.replace(call, message={**call.message, "params": params})


def with_configs(call: Call, value: Mapping[str, Any], restored: Callable[[str], Webhook | None]) -> Mapping[str, Any]:
    """An answer about configurations as their owner set them; ones that ``restored`` doesn't know are left out.

    ``restored`` takes the gateway's URL of a webhook. An answer of any other method stays as it is.
    """
    if call.version == UNVERSIONED:
        return _with_older(call, value, restored)
    if call.action == "listPushConfigs":
        found = [_restored(each, restored) for each in value["result"]["configs"]]
        return {**value, "result": {**value["result"], "configs": [each for each in found if each is not None]}}
    if call.action in ONE_CONFIG:
        return {**value, "result": _restored(value["result"], restored)}
    return value


def _with_older(call: Call, value: Mapping[str, Any], restored: Callable[[str], Webhook | None]) -> Mapping[str, Any]:
    def opened(each: Mapping[str, Any]) -> Mapping[str, Any] | None:
        found = _restored(each[OLDER], restored)
        if found is None or "authentication" not in found:
            return None if found is None else {**each, OLDER: found}
        offered = found["authentication"]
        schemes = {"schemes": [offered["scheme"]] if "scheme" in offered else []}
        kept = {name: text for name, text in offered.items() if name != "scheme"}
        return {**each, OLDER: {**found, "authentication": {**schemes, **kept}}}

    if call.action == "listPushConfigs":
        return {**value, "result": [each for each in map(opened, value["result"]) if each is not None]}
    return {**value, "result": opened(value["result"])} if call.action in ONE_CONFIG else value


def read_delivery(value: Any, receiver: Uid) -> Call:
    """What an agent delivers to ``receiver``: one event, its known members in camelCase.

    Raises:
        ProtocolError: MESSAGE_INVALID.
    """
    kind = value.get("kind") if isinstance(value, dict) else None
    try:
        # Agents of 0.3 deliver tasks as they are, and those say their kind.
        event = normal(value, KINDS[kind] if isinstance(kind, str) and kind in KINDS else STREAMED)
    except AmbiguousMemberError as error:
        raise _malformed(f"an event with {error}") from None
    if kind in KINDS:
        return _delivery(event, event.get("id" if kind == "task" else "taskId"), receiver)
    present = [name for name in EVENTS if isinstance(event, dict) and event.get(name) is not None]
    if len(present) != 1 or not isinstance(event[present[0]], dict):
        raise _malformed("not one task, message or update")
    inner = event[present[0]]
    return _delivery(event, inner.get("id" if present[0] == "task" else "taskId"), receiver)


def _delivery(event: Mapping[str, Any], task: Any, receiver: Uid) -> Call:
    if not isinstance(task, str) or not task:
        raise _malformed("an event that names no task")
    return Call(
        protocol="a2a",
        version=CURRENT,
        method=DELIVERY_METHOD,
        action="notify",
        resource=receiver,
        message=event,
        target=task,
        arguments=event,
        binding="http",
    )


def _config_of(call: Call) -> Any:
    params = call.message.get("params")
    if not isinstance(params, Mapping):
        return None
    older = call.version == UNVERSIONED
    if call.action == "createPushConfig":
        return params.get(OLDER, ()) if older else params
    holder = params.get("configuration") or {}
    return holder.get(OLDER if older else IN_MESSAGE) if call.action == "delegate" else None


def _one_scheme(call: Call, authentication: Mapping[str, Any]) -> Mapping[str, Any]:
    """0.3 offers several schemes, of which the first is taken."""
    schemes = authentication.get("schemes")
    if call.version != UNVERSIONED or schemes is None:
        return authentication
    if not isinstance(schemes, list):
        raise _invalid(call, "its authentication's schemes are not an array")
    return {"scheme": schemes[0] if schemes else None}


def _placed(call: Call, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The call's parameters with another configuration."""
    params, older = call.message["params"], call.version == UNVERSIONED
    if call.action == "createPushConfig" and older:
        return {**{name: params[name] for name in ("taskId", "metadata") if name in params}, OLDER: config}
    if call.action == "createPushConfig":
        return config
    return {**params, "configuration": {**params["configuration"], OLDER if older else IN_MESSAGE: config}}


def _restored(config: Mapping[str, Any], restored: Callable[[str], Webhook | None]) -> Mapping[str, Any] | None:
    webhook = restored(config["url"])
    if webhook is None:
        return None
    kept = {name: value for name, value in config.items() if name in ("id", "taskId", "tenant")}
    secret = {"token": webhook.token} if webhook.token else {}
    offered = {"scheme": webhook.scheme, "credentials": webhook.credentials}
    authentication = {name: value for name, value in offered.items() if value}
    return {**kept, "url": webhook.url, **secret, **({"authentication": authentication} if authentication else {})}


def _text(call: Call, holder: Mapping[str, Any], name: str, most: int) -> str:
    """A text that may stand in a header: printable ASCII."""
    value = holder.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most or not (value.isascii() and value.isprintable()):
        raise _invalid(call, f"{name} of the push notification configuration is not printable ASCII, at most {most}")
    return value


def _invalid(call: Call, detail: str) -> ProtocolError:
    return ProtocolError(Reason.MESSAGE_INVALID, detail, code=INVALID_PARAMS, request_id=call.request_id)


def _malformed(detail: str) -> ProtocolError:
    return ProtocolError(Reason.MESSAGE_INVALID, detail, code=INVALID_REQUEST)
