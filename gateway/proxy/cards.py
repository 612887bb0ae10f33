"""The agent card as the gateway publishes it: the upstream's, verified, rewritten and signed anew.

Answered by the gateway itself: there is a Decision and no Grant, and the upstream gets no token.
"""

import hashlib

from opentelemetry.trace import SpanKind

from gateway.core.errors import UpstreamError
from gateway.core.model import Outcome, Permit
from gateway.core.reasons import Reason
from gateway.identity.cards import pinned_key, sign_card, verify_card
from gateway.identity.signer import jwks_url
from gateway.protocols.a2a import rewrite_card
from gateway.protocols.jsonrpc import dump_json, parse_answer
from gateway.proxy.adapters import adapter_of
from gateway.proxy.exchange import Answer
from gateway.proxy.gate import Gate, Passage, client_of
from gateway.proxy.observe import server_of
from gateway.proxy.refuse import record_outcome
from gateway.telemetry import semconv

MAX_AGE_SECONDS = 60


async def answer(gate: Gate, passage: Passage, permit: Permit) -> Answer:
    """The signed card of the route's agent, or 304 where the client has it already.

    Raises:
        UpstreamError: the agent could not be asked, or its card is not one, or not signed by the pinned key.
    """
    route, call = permit.hop.route, permit.hop.call
    upstream = passage.snapshot.registry.upstream_of(route)
    if upstream is None:
        raise UpstreamError(Reason.UPSTREAM_UNREACHABLE, f"{route.path} has no upstream")
    with passage.span(gate.tracing).child(semconv.SPAN_UPSTREAM, SpanKind.CLIENT, server_of(upstream)) as span:
        outgoing = adapter_of(route.protocol).encode(call, None, span.traceparent(), passage.snapshot)
        found = await gate.upstreams.fetch_card(upstream, outgoing, client_of(gate, passage), passage.limits)
        try:
            if found.status != 200 or found.kind != "json":
                raise UpstreamError(Reason.UPSTREAM_STATUS, f"the upstream answered {found.status}")
            card = parse_answer(await found.body(), passage.limits)
        finally:
            found.close()
    if upstream.card_key is not None and not (
        isinstance(card, dict) and verify_card(card, pinned_key(upstream.card_key))
    ):
        raise UpstreamError(Reason.UPSTREAM_IDENTITY, "the card is not signed by the registered card_key")
    rewritten = rewrite_card(
        card,
        route.resource,
        clients=route.clients,
        user=route.user,
        issuers=passage.edition.documents.authorization_servers,
    )
    body = dump_json(sign_card(rewritten, passage.edition.signer, jwks_url(passage.edition.issuer)))
    # Of the unsigned card: ES256 signatures differ each time, the card doesn't.
    etag = f'"{hashlib.sha256(dump_json(rewritten)).hexdigest()}"'
    return await _finished(gate, passage, body, etag)


async def _finished(gate: Gate, passage: Passage, body: bytes, etag: str) -> Answer:
    known = passage.headers.get("if-none-match") == etag
    headers = (("ETag", etag), ("Cache-Control", f"private, max-age={MAX_AGE_SECONDS}"))
    answer = Answer(304, headers, b"") if known else Answer(200, (*headers, ("Content-Type", "application/json")), body)
    await record_outcome(gate, passage, Outcome(True, Reason.PERMITTED, answer.status, bytes_out=len(body)))
    passage.close()
    return answer
