"""Push notifications on their way: what an agent delivers to a webhook of the gateway, decided and sent on.

A delivery is a call of the agent to whoever set the webhook (action ``notify``): its caller is the agent by its
certificate, it has no token, and it is recorded like any hop.
"""

from collections.abc import Mapping

import msgspec
from opentelemetry.trace import SpanKind

from gateway.core.errors import HopError
from gateway.core.model import Chain, Hop, Outcome, Permit, Route, Uid
from gateway.core.policy.decide import decide
from gateway.core.reasons import Reason
from gateway.core.registry import Agent
from gateway.protocols.a2a import push
from gateway.protocols.a2a.decision import without_decision
from gateway.protocols.a2a.http_json import MEDIA
from gateway.protocols.base import JSON, check_media
from gateway.protocols.jsonrpc import dump_json, parse_json
from gateway.proxy import counting
from gateway.proxy.adapters import task_key
from gateway.proxy.commit import commit
from gateway.proxy.exchange import Answer
from gateway.proxy.forward import finish
from gateway.proxy.gate import Gate, Passage
from gateway.proxy.refuse import DeniedError
from gateway.proxy.revoked import keys_after, keys_of_receiver
from gateway.proxy.webhooks import PREFIX, Hook, opened_hook
from gateway.telemetry import semconv

TOKEN_HEADER = "X-A2A-Notification-Token"


async def deliver(gate: Gate, passage: Passage, route: Route) -> Answer:
    """Carry one notification of the route's agent to the webhook of whoever asked for it.

    Raises:
        HopError: not the agent's, not a webhook, not that owner's task, denied, or not delivered.
    """
    agent, peer, now = passage.agent, passage.exchange.peer, passage.at // 1000
    if passage.exchange.method != "POST":
        raise HopError(Reason.HTTP_METHOD, "notifications are sent with POST")
    hook = opened_hook(gate.sealer, route, passage.rest.removeprefix(PREFIX))
    if agent is None or peer is None or agent.name != route.name or hook is None or now >= hook.expires:
        raise HopError(Reason.TASK_UNKNOWN, "no such webhook for this caller on this route")
    check_media(passage.headers, MEDIA)
    body = await passage.exchange.read_body(passage.limits.body_bytes, passage.limits.body_seconds)
    call = passage.call = push.read_delivery(parse_json(body, passage.limits), Uid(*hook.receiver))
    chain, registry = _chain(agent, hook, passage), passage.snapshot.registry
    await gate.revoked.check(keys_after(chain, None, route, registry))
    await gate.revoked.check(keys_of_receiver(call.resource, registry))
    await _check_task(gate, passage, route, hook, call.target)
    hop = Hop(
        id=passage.id,
        route=route,
        peer=peer,
        agent=agent.name,
        user=None,
        call=call,
        chain=chain,
        now=passage.at,
    )
    hop = passage.hop = msgspec.structs.replace(hop, usage=counting.count(gate, passage, hop, len(body)))
    snapshot = passage.snapshot
    decision = decide(hop, snapshot.bundle, snapshot.registry, snapshot.generation)
    await commit(gate, passage, decision, None)
    if not isinstance(decision, Permit):
        raise DeniedError(decision)
    content = dump_json(without_decision(call.message))
    with passage.span(gate.tracing).child(semconv.SPAN_UPSTREAM, SpanKind.CLIENT):
        await passage.edition.webhooks.deliver(decision, hook.url, _headers(hook), content)
    await finish(gate, passage, Outcome(True, Reason.PERMITTED, 204, bytes_out=len(content), events=1))
    return Answer(204, (), b"")


async def _check_task(gate: Gate, passage: Passage, route: Route, hook: Hook, task: str) -> None:
    """A notification is about the task that the webhook was set for, or one that its message began."""
    owned = not hook.task or hook.task == task
    # A task may be notified of before the message that began it is answered.
    expires = passage.at // 1000 + passage.limits.task_seconds
    if not (owned and await gate.tasks.claim(route.path, task_key(task), hook.whose, expires)):
        raise HopError(Reason.TASK_UNKNOWN, "the notification is about another task than the webhook")


def _chain(agent: Agent, hook: Hook, passage: Passage) -> Chain:
    """The agent alone, in the transaction that set the webhook: it may notify, and carry nothing on."""
    return Chain(
        sub=hook.sub,
        actors=(agent.spiffe_id,),
        agents=(agent.name,),
        txn=hook.txn,
        root_expires=hook.expires,
        max_depth=passage.limits.max_depth,
        ceiling=frozenset(),
    )


def _headers(hook: Hook) -> Mapping[str, str]:
    headers = {"Content-Type": JSON}
    if hook.token:
        headers[TOKEN_HEADER] = hook.token
    if hook.scheme and hook.credentials:
        headers["Authorization"] = f"{hook.scheme} {hook.credentials}"
    return headers
