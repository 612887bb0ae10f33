"""Agent cards as the gateway publishes them: the upstream's, verified, rewritten and signed anew.

The public card is answered by the gateway itself: there is a Decision and no Grant, and the upstream gets no token.
The extended card is forwarded like any call, since the agent shows it to whom it knows.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import SpanKind

from gateway.core.errors import UpstreamError
from gateway.core.model import Grant, Outcome, Permit, Route
from gateway.core.reasons import Reason
from gateway.core.registry import Upstream
from gateway.identity.cards import pinned_key, sign_card, verify_card
from gateway.identity.signer import jwks_url
from gateway.protocols.a2a import rewrite_card, with_0_3
from gateway.protocols.base import End
from gateway.protocols.jsonrpc import dump_json, malformed_answer, parse_answer
from gateway.proxy import counting, handles
from gateway.proxy.adapters import adapter_of
from gateway.proxy.exchange import Answer
from gateway.proxy.forward import check_status, finish
from gateway.proxy.gate import Gate, Passage, client_of
from gateway.proxy.observe import server_of
from gateway.telemetry import semconv

MAX_AGE_SECONDS = 60
JSON_TYPE = ("Content-Type", "application/json")


async def answer(gate: Gate, passage: Passage, permit: Permit, grant: Grant | None = None) -> Answer:
    """The signed card of the route's agent, or 304 where the client has it already.

    ``grant`` is for a peer gateway, which shows no card without a token.

    Raises:
        UpstreamError: the agent could not be asked, or its card is not one, or not signed by the pinned key.
    """
    route, call = permit.hop.route, permit.hop.call
    upstream = _upstream(passage, route)
    with passage.span(gate.tracing).child(semconv.SPAN_UPSTREAM, SpanKind.CLIENT, server_of(upstream)) as span:
        outgoing = adapter_of(route.protocol).encode(call, None, span.traceparent(), passage.snapshot)
        client, limits = client_of(gate, passage), passage.limits
        if grant is None:
            found = await gate.upstreams.fetch_card(upstream, outgoing, client, limits)
        else:
            found = await gate.upstreams.send(grant, upstream, outgoing, client, limits)
        try:
            if found.status != 200 or found.kind != "json":
                raise UpstreamError(Reason.UPSTREAM_STATUS, f"the upstream answered {found.status}")
            sent = await found.body()
            counting.answered(gate, passage, len(sent))
            card = parse_answer(sent, passage.limits)
        finally:
            found.close()
    rewritten = _rewritten(passage, route, upstream, card)
    body = dump_json(_signed(passage, rewritten))
    # Of the unsigned card: ES256 signatures differ each time, the card doesn't.
    etag = f'"{hashlib.sha256(dump_json(rewritten)).hexdigest()}"'
    known = passage.headers.get("if-none-match") == etag
    headers = (("ETag", etag), ("Cache-Control", f"private, max-age={MAX_AGE_SECONDS}"))
    answer = Answer(304, headers, b"") if known else Answer(200, (*headers, JSON_TYPE), body)
    await finish(gate, passage, Outcome(True, Reason.PERMITTED, answer.status, bytes_out=0 if known else len(body)))
    return answer


async def extended(gate: Gate, passage: Passage, grant: Grant) -> Answer:
    """The signed card that the agent shows to this caller, or the agent's own error.

    Raises:
        UpstreamError: the agent could not be asked, or its card is not one, or not signed by the pinned key.
    """
    route, call = grant.hop.route, grant.hop.call
    upstream, adapter = _upstream(passage, route), adapter_of(route.protocol)
    with passage.span(gate.tracing).child(semconv.SPAN_UPSTREAM, SpanKind.CLIENT, server_of(upstream)) as span:
        trace = await handles.carried_on(gate, passage, grant, span.traceparent())
        outgoing = adapter.encode(call, None, trace, passage.snapshot)
        found = await gate.upstreams.send(grant, upstream, outgoing, client_of(gate, passage), passage.limits)
        try:
            check_status(found, passage)
            if found.kind != "json":
                raise malformed_answer("the answer is not JSON")
            sent = await found.body()
            counting.answered(gate, passage, len(sent))
            end = adapter.classify(call, parse_answer(sent, passage.limits))
        finally:
            found.close()
    if not isinstance(end, End):
        raise malformed_answer("the answer is not one to this request")
    value = end.value
    if end.ok:
        value = {**value, "result": _signed(passage, _rewritten(passage, route, upstream, value["result"]))}
    shown = adapter.present(call, value)
    status, body = shown.status or 200, dump_json(shown.value)
    await finish(gate, passage, Outcome(end.ok, Reason.PERMITTED, status, end.detail, bytes_out=len(body), events=1))
    return Answer(status, (JSON_TYPE, ("Cache-Control", "private, no-store")), body)


def _upstream(passage: Passage, route: Route) -> Upstream:
    upstream = passage.snapshot.registry.upstream_of(route)
    if upstream is None:
        raise UpstreamError(Reason.UPSTREAM_UNREACHABLE, f"{route.path} has no upstream")
    return upstream


def _rewritten(passage: Passage, route: Route, upstream: Upstream, card: Any) -> Mapping[str, Any]:
    """The unsigned card, made from one that the pinned key signed."""
    if upstream.card_key is not None and not (
        isinstance(card, dict) and verify_card(card, pinned_key(upstream.card_key))
    ):
        raise UpstreamError(Reason.UPSTREAM_IDENTITY, "the card is not signed by the registered card_key")
    issuers = passage.edition.documents.authorization_servers
    return rewrite_card(card, route.resource, clients=route.clients, user=route.user, issuers=issuers)


def _signed(passage: Passage, card: Mapping[str, Any]) -> Mapping[str, Any]:
    edition = passage.edition
    return with_0_3(sign_card(card, edition.signer, jwks_url(edition.issuer)))
