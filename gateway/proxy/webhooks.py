"""Push notifications: a client's webhook becomes one of the gateway's, and is the client's again in answers.

The agent is given a URL of the gateway in which the client's webhook is sealed, with its owner; it learns neither
the address nor the client's secrets. Nothing is stored. What is delivered there is ``deliver``'s.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.core.errors import ProtocolError
from gateway.core.model import Hop, Route
from gateway.core.ports import Sealer
from gateway.core.reasons import Reason
from gateway.protocols.a2a import push
from gateway.protocols.base import INVALID_PARAMS
from gateway.protocols.jsonrpc import malformed_answer
from gateway.proxy import sessions
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.webhook_client import TargetError

PREFIX = "/webhooks/"
TOKEN_HEADER = "X-A2A-Notification-Token"


class Hook(msgspec.Struct, frozen=True):
    """What a webhook of the gateway holds: the client's, whose it is, and for which task. Never logged."""

    url: str
    token: str
    scheme: str
    credentials: str
    whose: str
    receiver: tuple[str, str]
    """Type and id of the Cedar entity that is notified."""
    sub: str
    txn: str
    task: str
    """Empty where the message that set it begins the task."""
    expires: int

    def __repr__(self) -> str:
        return "Hook()"


async def substituted(gate: Gate, passage: Passage, hop: Hop) -> Hop:
    """The hop with a webhook of the gateway in place of the client's; as it is if it sets none.

    Raises:
        ProtocolError: MESSAGE_INVALID, the client's webhook may not be asked.
    """
    webhook = push.webhook_of(hop.call) if hop.call.protocol == "a2a" else None
    if webhook is None:
        return hop
    try:
        await passage.edition.webhooks.check(webhook.url)
    except TargetError as error:
        detail = f"the webhook may not be asked: {error}"
        code, request_id = INVALID_PARAMS, hop.call.request_id
        raise ProtocolError(Reason.MESSAGE_INVALID, detail, code=code, request_id=request_id) from None
    hook = Hook(
        url=webhook.url,
        token=webhook.token,
        scheme=webhook.scheme,
        credentials=webhook.credentials,
        whose=sessions.owner(hop.chain, hop.peer),
        receiver=("Agent", hop.agent) if hop.agent is not None else ("User", hop.chain.sub),
        sub=hop.chain.sub,
        txn=hop.chain.txn,
        task=hop.call.target,
        expires=hop.now // 1000 + passage.limits.task_seconds,
    )
    sealed = gate.sealer.seal(msgspec.json.encode(hook), _context(hop.route))
    url = passage.edition.bases["data"] + hop.route.path + PREFIX + sealed
    return msgspec.structs.replace(hop, call=push.with_webhook(hop.call, url))


def restored(gate: Gate, passage: Passage, hop: Hop, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """An answer about configurations with the caller's own webhooks in place of the gateway's.

    Raises:
        UpstreamError: UPSTREAM_MALFORMED, the one that was asked for isn't a webhook of the caller's.
    """
    if hop.call.protocol != "a2a" or hop.call.action == "deletePushConfig" or "result" not in value:
        return value
    prefix = passage.edition.bases["data"] + hop.route.path + PREFIX

    def opened(url: str) -> push.Webhook | None:
        hook = opened_hook(gate.sealer, hop.route, url.removeprefix(prefix))
        if hook is None or hook.whose != sessions.owner(hop.chain, hop.peer):
            return None
        return push.Webhook(hook.url, hook.token, hook.scheme, hook.credentials)

    found = push.with_configs(hop.call, value, opened)
    if found["result"] is None:
        raise malformed_answer("a push notification configuration that isn't the caller's")
    return found


def is_delivery(route: Route, rest: str) -> bool:
    """Whether a path below the route is a webhook of the gateway."""
    return route.protocol == "a2a" and rest.startswith(PREFIX)


def opened_hook(sealer: Sealer, route: Route, sealed: str) -> Hook | None:
    """What a webhook of the gateway on ``route`` holds; None for anything forged, or another route's."""
    plain = sealer.open(sealed, _context(route))
    return None if plain is None else msgspec.json.decode(plain, type=Hook)


def _context(route: Route) -> bytes:
    return msgspec.json.encode(["webhook", route.path])
